// out = A^T (A x - y) reads A twice if done as two products. Here A passes by once: while the inner
// products of four rows are taken, the four rows before them, still in cache, are added to out.
#include "dense_gradient.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "versions.hpp"

namespace asyncred {
namespace {

// out += sum over j in rows[begin..end) of A_j (<A_j, x> - y_j). out overlaps nothing.
VERSIONS void add_rows(const Rows &data, const float *__restrict x, const std::int64_t *rows,
                       std::int64_t begin, std::int64_t end, float *__restrict out) {
    const std::int64_t n = data.n;
    const float *p[4] = {};  // the rows of the batch before, and their residuals
    float r[4] = {};
    for (std::int64_t first = begin; first < end; first += 4) {
        const float *a[4];
        float y[4];
        for (int l = 0; l < 4; ++l) {
            // The last batch is filled up with its last row, which then counts for nothing.
            const std::int64_t index = std::min(first + l, end - 1);
            const std::int64_t j = rows ? rows[index] : index;
            a[l] = data.A + j * n;
            y[l] = data.y[j];
        }
        if (first == begin) std::copy(a, a + 4, p);

        const float *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3];
        const float *p0 = p[0], *p1 = p[1], *p2 = p[2], *p3 = p[3];
        const float r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3];
        float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
        for (std::int64_t k = 0; k < n; ++k) {
            s0 += a0[k] * x[k];
            s1 += a1[k] * x[k];
            s2 += a2[k] * x[k];
            s3 += a3[k] * x[k];
            out[k] += r0 * p0[k] + r1 * p1[k] + r2 * p2[k] + r3 * p3[k];
        }
        const float s[4] = {s0, s1, s2, s3};
        for (int l = 0; l < 4; ++l) r[l] = first + l < end ? s[l] - y[l] : 0;
        std::copy(a, a + 4, p);
    }
    if (begin < end) {
#pragma omp simd
        for (std::int64_t k = 0; k < n; ++k)
            out[k] += r[0] * p[0][k] + r[1] * p[1][k] + r[2] * p[2][k] + r[3] * p[3][k];
    }
}

}  // namespace

void dense_gradient(const Rows &data, const float *x, const std::int64_t *rows, std::int64_t w,
                    float scale, float *out, int threads) {
    // Part t of the rows goes into sums[t], whichever thread takes it.
    std::vector<std::vector<float>> sums(threads, std::vector<float>(data.n));
    const auto part = [&](int t) {
        add_rows(data, x, rows, w * t / threads, w * (t + 1) / threads, sums[t].data());
    };
    if (threads == 1) {
        part(0);
    } else {
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static, 1)
#endif
        for (int t = 0; t < threads; ++t) part(t);
    }
    for (std::int64_t k = 0; k < data.n; ++k) {
        float sum = 0;
        for (int t = 0; t < threads; ++t) sum += sums[t][k];
        out[k] = scale * sum;
    }
}

}  // namespace asyncred
