"""The queue of images and the flag that stops everybody."""

from asyncred.shared import Queue


def test_every_number_is_handed_out_once(comm):
    with Queue(comm) as queue:
        mine = [queue.take() for _ in range(50)]
        assert mine == sorted(mine)
        everything = sorted(number for part in comm.allgather(mine) for number in part)
        assert everything == list(range(50 * comm.size))


def test_one_rank_stops_all(comm):
    with Queue(comm) as queue:
        assert not queue.stopped()
        comm.Barrier()
        if comm.rank == comm.size - 1:
            queue.raise_stop(4)
        comm.Barrier()
        assert queue.stopped() == 4
        assert queue.take() < comm.size  # the numbers are untouched by it
        comm.Barrier()
