// out = A^T (A x - y) reads A twice if done as two products. Here A passes by once: while the inner
// products of a batch of rows are taken, the batch before it, still in cache, is added to out.
// Memory is what it costs: rows in half precision take half the time.
#include "dense_gradient.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <numeric>
#include <vector>

#include "versions.hpp"

#ifdef WIDE
#include <immintrin.h>
#endif

namespace asyncred {
namespace {

using Half = std::uint16_t;

// Rows a, as many before them p, and the residuals of these.
template <class Number, int size>
struct Batch {
    const Number *a[size];
    const Number *p[size];
    float r[size];
};

// s[l] = <a_l, x>, and out += sum over l of r_l p_l, in one pass. out overlaps nothing.
VERSIONS void pass(const Batch<float, 4> &batch, const float *__restrict x, std::int64_t n,
                   float *__restrict out, float *s) {
    const float *a0 = batch.a[0], *a1 = batch.a[1], *a2 = batch.a[2], *a3 = batch.a[3];
    const float *p0 = batch.p[0], *p1 = batch.p[1], *p2 = batch.p[2], *p3 = batch.p[3];
    const float r0 = batch.r[0], r1 = batch.r[1], r2 = batch.r[2], r3 = batch.r[3];
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (std::int64_t k = 0; k < n; ++k) {
        s0 += a0[k] * x[k];
        s1 += a1[k] * x[k];
        s2 += a2[k] * x[k];
        s3 += a3[k] * x[k];
        out[k] += r0 * p0[k] + r1 * p1[k] + r2 * p2[k] + r3 * p3[k];
    }
    const float found[4] = {s0, s1, s2, s3};
    std::copy(found, found + 4, s);
}

// A factor makes up for the exponent's other bias, which is exact, of subnormal numbers too.
inline float single(Half half) {
    const std::uint32_t bits = half, magnitude = (bits & 0x7fffu) << 13;
    float value;
    std::memcpy(&value, &magnitude, sizeof value);
    return bits & 0x8000u ? -0x1p112f * value : 0x1p112f * value;
}

VERSIONS void pass(const Batch<Half, 4> &batch, const float *__restrict x, std::int64_t n,
                   float *__restrict out, float *s) {
    for (int l = 0; l < 4; ++l) {
        const Half *a = batch.a[l], *p = batch.p[l];
        const float r = batch.r[l];
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (std::int64_t k = 0; k < n; ++k) {
            sum += single(a[k]) * x[k];
            out[k] += r * single(p[k]);
        }
        s[l] = sum;
    }
}

#ifdef WIDE
inline float single(float number) { return number; }

WIDE inline __m512 sixteen(const float *row) { return _mm512_loadu_ps(row); }

WIDE inline __m512 sixteen(const Half *row) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(row));
    return _mm512_maskz_cvtph_ps(0xffff, halves);  // all; GCC 12 warns of the one without a mask
}

// A core by itself asks for too little at a time to read as fast as memory is: it is told what
// comes, so many bytes ahead.
constexpr std::int64_t kAhead = 1024;

template <class Number>
WIDE void pass(const Batch<Number, 8> &batch, const float *x, std::int64_t n, float *out, float *s) {
    constexpr std::int64_t line = 64 / sizeof(Number), ahead = kAhead / sizeof(Number);
    __m512 sums[8] = {};
    std::int64_t k = 0;
    for (; k + 16 <= n; k += 16) {
        const __m512 x_k = sixteen(x + k);
        __m512 out_k = sixteen(out + k);
        for (int l = 0; l < 8; ++l) {
            if (k % line == 0) _mm_prefetch(batch.a[l] + k + ahead, _MM_HINT_T1);
            sums[l] = _mm512_fmadd_ps(sixteen(batch.a[l] + k), x_k, sums[l]);
            const __m512 r = _mm512_set1_ps(batch.r[l]);
            out_k = _mm512_fmadd_ps(r, sixteen(batch.p[l] + k), out_k);
        }
        _mm512_storeu_ps(out + k, out_k);
    }
    for (int l = 0; l < 8; ++l) {
        float lanes[16];
        _mm512_storeu_ps(lanes, sums[l]);
        s[l] = std::accumulate(lanes, lanes + 16, 0.0f);
        for (std::int64_t rest = k; rest < n; ++rest) {
            s[l] += single(batch.a[l][rest]) * x[rest];
            out[rest] += batch.r[l] * single(batch.p[l][rest]);
        }
    }
}
#endif

// out += sum over j in rows[begin..end) of A_j (<A_j, x> - y_j). out overlaps nothing.
template <int size, class Number>
void add_batches(const Number *A, const Rows &data, const float *x, const std::int64_t *rows,
                 std::int64_t begin, std::int64_t end, float *out) {
    const std::int64_t n = data.n;
    Batch<Number, size> batch = {};
    float s[size], y[size];
    for (std::int64_t first = begin; first < end; first += size) {
        for (int l = 0; l < size; ++l) {
            // The last batch is filled up with its last row, which then counts for nothing.
            const std::int64_t index = std::min(first + l, end - 1);
            const std::int64_t j = rows ? rows[index] : index;
            batch.a[l] = A + j * n;
            y[l] = data.y[j];
        }
        if (first == begin) std::copy(batch.a, batch.a + size, batch.p);
        pass(batch, x, n, out, s);
        for (int l = 0; l < size; ++l) batch.r[l] = first + l < end ? s[l] - y[l] : 0;
        std::copy(batch.a, batch.a + size, batch.p);
    }
    if (begin < end) pass(batch, x, n, out, s);  // what the last batch adds
}

template <class Number>
void add_rows(const Number *A, const Rows &data, const float *x, const std::int64_t *rows,
              std::int64_t begin, std::int64_t end, float *out) {
#ifdef WIDE
    if (__builtin_cpu_supports("x86-64-v4"))
        return add_batches<8>(A, data, x, rows, begin, end, out);
#endif
    add_batches<4>(A, data, x, rows, begin, end, out);
}

// Rounded to nearest even. Below the smallest normal number a sum with 1/2 rounds to the right bits.
VERSIONS bool halve(const float *__restrict a, std::int64_t size, Half *__restrict out) {
    std::uint32_t most = 0;
#pragma omp simd reduction(max : most)
    for (std::int64_t k = 0; k < size; ++k) {
        std::uint32_t bits, sum;
        std::memcpy(&bits, a + k, sizeof bits);
        const std::uint32_t magnitude = bits & 0x7fffffffu;
        const float shifted = std::fabs(a[k]) + 0.5f;
        std::memcpy(&sum, &shifted, sizeof sum);
        const std::uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13;
        const std::uint32_t half = magnitude < 0x38800000u ? sum - 0x3f000000u : normal;
        out[k] = static_cast<Half>(half | (bits >> 16 & 0x8000u));
        most = std::max(most, magnitude);
    }
    return most < 0x477ff000u;
}

}  // namespace

bool to_half(const float *a, std::int64_t size, std::uint16_t *out) { return halve(a, size, out); }

void dense_gradient(const Rows &data, const float *x, const std::int64_t *rows, std::int64_t w,
                    float scale, float *out, int threads) {
    // Part t of the rows goes into sums[t], whichever thread takes it.
    std::vector<std::vector<float>> sums(threads, std::vector<float>(data.n));
    const auto part = [&](int t) {
        const std::int64_t begin = w * t / threads, end = w * (t + 1) / threads;
        if (data.half)
            add_rows(data.half, data, x, rows, begin, end, sums[t].data());
        else
            add_rows(data.A, data, x, rows, begin, end, sums[t].data());
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
