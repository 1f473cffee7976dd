// A loop on several threads.
#pragma once

#include <cstdint>

namespace asyncred {

// work(0), ..., work(count - 1), in equal parts on so many threads. One needs no OpenMP at all.
template <class Work>
void in_parallel(std::int64_t count, int threads, const Work &work) {
    if (threads == 1) {
        for (std::int64_t i = 0; i < count; ++i) work(i);
        return;
    }
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static)
#endif
    for (std::int64_t i = 0; i < count; ++i) work(i);
}

}  // namespace asyncred
