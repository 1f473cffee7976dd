"""The result file: NXtomoproc and Data Exchange at once, with history, delays and provenance.

/entry                        NXentry, definition NXtomoproc
  data/data                   float32 or complex64 [T, H, W], also linked as /exchange/data
  start/data, truth/data      the start and, where known, the truth, as data
  complete                    uint8 [T]: 1 where an image reached its budget or tolerance
  images                      int64 [T]: which images of the problem these are
  reconstruction              program, version, date, parameters (JSON), command, input, its
                              sha256, ranks, hosts, halo, align, whether the halo is exact, the
                              tile_error of 1 from black to white; by image: stopped,
                              left_out (why an image has no measurements, and is not complete),
                              range [T, 2] (values of black and white), residual_drift [T, R],
                              digest (BLAKE2b of the image),
                              reference_snr (dB) and reference_ssim to an image in the input
  convergence                 update, time (s), distance, step, snr (dB), delay: [T, S], one column
                              a sample; NaN, and -1 of updates, after the last
  updates                     per_block and owner [T, b], per_rank [T, N], delay_histogram [T, D]
  timing                      per rank, s: loop, denoiser, gradient, slowed; rest (share): [T, N]

All datasets have their place in the file before an image is in it (``asyncred.files.whole``): the
file of a stack can be read, and what is flagged complete is, at any moment and whenever the job
dies.
"""

from asyncred.files.result.reading import (
    Result,
    check_start,
    is_cut,
    read_completed,
    read_result,
    read_result_block,
    read_start,
)
from asyncred.files.result.writing import (
    ROWS,
    SAMPLES,
    Layout,
    Record,
    ResultFile,
    create_result,
    thinned,
    write_result,
)

__all__ = [
    "ROWS",
    "SAMPLES",
    "Layout",
    "Record",
    "Result",
    "ResultFile",
    "check_start",
    "create_result",
    "is_cut",
    "read_completed",
    "read_result",
    "read_result_block",
    "read_start",
    "thinned",
    "write_result",
]
