// asyncred._kernels: the native kernels as Python sees them. Every array is checked here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <string>

#include "dense_gradient.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Vector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Result = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Indices = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void check_size(const char *name, std::size_t size, const char *side, std::size_t expected) {
    if (size == expected) return;
    throw nb::value_error((std::string(name) + " has " + std::to_string(size) +
                           " elements, but A has " + std::to_string(expected) + " " + side)
                              .c_str());
}

asyncred::Rows checked(const Matrix &A, const Vector &x, const Vector &y, const Result &out,
                       int threads) {
    check_size("x", x.shape(0), "columns", A.shape(1));
    check_size("y", y.shape(0), "rows", A.shape(0));
    check_size("out", out.shape(0), "columns", A.shape(1));
    if (threads < 1)
        throw nb::value_error(("threads is " + std::to_string(threads) + ", not 1 or more").c_str());
    return {A.data(), y.data(), static_cast<std::int64_t>(A.shape(0)),
            static_cast<std::int64_t>(A.shape(1))};
}

void dense_gradient(const Matrix &A, const Vector &x, const Vector &y, const Result &out,
                    int threads) {
    const asyncred::Rows data = checked(A, x, y, out, threads);
    asyncred::dense_gradient(data, x.data(), nullptr, data.m, 1, out.data(), threads);
}

void dense_gradient_rows(const Matrix &A, const Vector &x, const Vector &y, const Indices &rows,
                         float scale, const Result &out, int threads) {
    const asyncred::Rows data = checked(A, x, y, out, threads);
    const auto w = static_cast<std::int64_t>(rows.shape(0));
    for (std::int64_t k = 0; k < w; ++k) {
        const std::int64_t j = rows.data()[k];
        if (j < 0 || j >= data.m)
            throw nb::index_error(("rows[" + std::to_string(k) + "] is " + std::to_string(j) +
                                   ", but A has " + std::to_string(data.m) + " rows")
                                      .c_str());
    }
    asyncred::dense_gradient(data, x.data(), rows.data(), w, scale, out.data(), threads);
}

}  // namespace

NB_MODULE(_kernels, module) {
    // Nothing is converted: an array of another type or order would be copied at every call.
    using Unlocked = nb::call_guard<nb::gil_scoped_release>;
    module.def("dense_gradient", &dense_gradient, "A"_a.noconvert(), "x"_a.noconvert(),
               "y"_a.noconvert(), "out"_a.noconvert(), "threads"_a, Unlocked());
    module.def("dense_gradient_rows", &dense_gradient_rows, "A"_a.noconvert(), "x"_a.noconvert(),
               "y"_a.noconvert(), "rows"_a.noconvert(), "scale"_a, "out"_a.noconvert(),
               "threads"_a, Unlocked());
}
