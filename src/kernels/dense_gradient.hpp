// The gradient of 1/2 ||A x - y||^2 for a dense A, and its sum over some of the rows.
#pragma once

#include <cstdint>

namespace asyncred {

// A dense row-major matrix of m rows and n columns, and the measurements y (m). The matrix is in
// single precision (A) or in half precision (half, finite numbers); the other one is null.
struct Rows {
    const float *A;
    const std::uint16_t *half;
    const float *y;
    std::int64_t m;
    std::int64_t n;
};

// out (n) = scale * sum over j of A_j (<A_j, x> - y_j), where j runs over rows[0..w), or over
// 0..w if rows is null. The indices must lie in 0..m. The same number of threads gives the same
// result, bit for bit; one thread starts no other. out may overlap x and y.
void dense_gradient(const Rows &data, const float *x, const std::int64_t *rows, std::int64_t w,
                    float scale, float *out, int threads);

// out (size) = a in half precision, rounded to nearest; false where a number is too large for it.
bool to_half(const float *a, std::int64_t size, std::uint16_t *out);

}  // namespace asyncred
