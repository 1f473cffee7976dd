// The lines of a block that rays are followed along: its rows, or its columns.
#pragma once

#include <cstdint>
#include <vector>

namespace asyncred {

// A copy of the lines with an empty place at both ends of each, and ``spare`` floats behind.
inline std::vector<float> lines_of(const float *x, std::int64_t h, std::int64_t w, bool rows,
                                   std::int64_t spare) {
    const std::int64_t n = rows ? w : h, lines = rows ? h : w;
    std::vector<float> result(lines * (n + 2) + spare);
    for (std::int64_t l = 0; l < lines; ++l)
        for (std::int64_t j = 0; j < n; ++j)
            result[l * (n + 2) + j + 1] = rows ? x[l * w + j] : x[j * w + l];
    return result;
}

}  // namespace asyncred
