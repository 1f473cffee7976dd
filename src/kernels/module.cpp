// asyncred.operators._kernels: the native kernels as Python sees them. Every array is checked here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <string>

#include "dense_gradient.hpp"
#include "fan.hpp"
#include "joseph.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
// NumPy's float16, viewed as integers of as many bits.
using HalfMatrix = nb::ndarray<const std::uint16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Vector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Result = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using HalfResult = nb::ndarray<std::uint16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Numbers = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Picture = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Indices = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void check_size(const char *name, std::size_t size, const char *side, std::size_t expected) {
    if (size == expected) return;
    throw nb::value_error((std::string(name) + " has " + std::to_string(size) +
                           " elements, but A has " + std::to_string(expected) + " " + side)
                              .c_str());
}

void check_threads(int threads) {
    if (threads < 1)
        throw nb::value_error(("threads is " + std::to_string(threads) + ", not 1 or more").c_str());
}

void point_to(asyncred::Rows &data, const Matrix &A) { data.A = A.data(); }
void point_to(asyncred::Rows &data, const HalfMatrix &A) { data.half = A.data(); }

template <class AnyMatrix>
asyncred::Rows checked(const AnyMatrix &A, const Vector &x, const Vector &y, const Result &out,
                       int threads) {
    check_size("x", x.shape(0), "columns", A.shape(1));
    check_size("y", y.shape(0), "rows", A.shape(0));
    check_size("out", out.shape(0), "columns", A.shape(1));
    check_threads(threads);
    asyncred::Rows data{nullptr, nullptr, y.data(), static_cast<std::int64_t>(A.shape(0)),
                        static_cast<std::int64_t>(A.shape(1))};
    point_to(data, A);
    return data;
}

template <class AnyMatrix>
void dense_gradient(const AnyMatrix &A, const Vector &x, const Vector &y, const Result &out,
                    int threads) {
    const asyncred::Rows data = checked(A, x, y, out, threads);
    asyncred::dense_gradient(data, x.data(), nullptr, data.m, 1, out.data(), threads);
}

template <class AnyMatrix>
void dense_gradient_rows(const AnyMatrix &A, const Vector &x, const Vector &y, const Indices &rows,
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

bool to_half(const Matrix &A, const HalfResult &out) {
    check_size("out", out.size(), "elements", A.size());
    return asyncred::to_half(A.data(), static_cast<std::int64_t>(A.size()), out.data());
}

// The checks that all projectors share: of a number for each view, and of lengths.
void check_views(const Numbers &cosine, const Numbers &sine, const Indices &first,
                 std::size_t views) {
    if (cosine.shape(0) == views && sine.shape(0) == views && first.shape(0) == views) return;
    throw nb::value_error(("cosine, sine and first have " + std::to_string(cosine.shape(0)) + ", " +
                           std::to_string(sine.shape(0)) + " and " +
                           std::to_string(first.shape(0)) + " elements, but there are " +
                           std::to_string(views) + " views")
                              .c_str());
}

std::int64_t count(std::size_t n) { return static_cast<std::int64_t>(n); }

// What a block of h x w pixels and its runs of bins are; the checks that forward and adjoint share.
asyncred::Projection projection(std::size_t h, std::size_t w, double left, double top,
                                const Numbers &cosine, const Numbers &sine, const Indices &first,
                                std::size_t views, std::size_t width, double center,
                                double spacing, double pixel, int threads) {
    check_views(cosine, sine, first, views);
    if (!(spacing > 0) || !(pixel > 0))
        throw nb::value_error("spacing and pixel are to be more than 0");
    check_threads(threads);
    return {count(h),     count(w),     left,        top,          count(views), cosine.data(),
            sine.data(),  first.data(), count(width), center,      spacing,      pixel};
}

// The same in fan beams.
asyncred::Fan fan(std::size_t h, std::size_t w, double left, double top, const Numbers &cosine,
                  const Numbers &sine, const Indices &first, std::size_t views, std::size_t width,
                  const Numbers &tangent, double aside, double distance, double pixel,
                  int threads) {
    check_views(cosine, sine, first, views);
    const std::int64_t bins = count(tangent.shape(0));
    for (std::size_t v = 0; v < views; ++v)
        if (first.data()[v] < 0 || first.data()[v] > bins - count(width))
            throw nb::index_error(("first[" + std::to_string(v) + "] is " +
                                   std::to_string(first.data()[v]) + ", but a run of " +
                                   std::to_string(width) + " ends within " + std::to_string(bins) +
                                   " bins")
                                      .c_str());
    if (!(distance > 0) || !(pixel > 0))
        throw nb::value_error("distance and pixel are to be more than 0");
    check_threads(threads);
    return {count(h),      count(w),    left,         top,
            count(views),  cosine.data(), sine.data(), first.data(),
            count(width),  tangent.data(), aside,      distance,
            pixel};
}

void joseph_forward(const Matrix &x, double left, double top, const Numbers &cosine,
                    const Numbers &sine, const Indices &first, double center, double spacing,
                    double pixel, const Picture &out, int threads) {
    asyncred::joseph_forward(
        projection(x.shape(0), x.shape(1), left, top, cosine, sine, first, out.shape(0),
                   out.shape(1), center, spacing, pixel, threads),
        x.data(), out.data(), threads);
}

void joseph_adjoint(const Matrix &r, double left, double top, const Numbers &cosine,
                    const Numbers &sine, const Indices &first, double center, double spacing,
                    double pixel, const Picture &out, int threads) {
    asyncred::joseph_adjoint(
        projection(out.shape(0), out.shape(1), left, top, cosine, sine, first, r.shape(0),
                   r.shape(1), center, spacing, pixel, threads),
        r.data(), out.data(), threads);
}

void fan_forward(const Matrix &x, double left, double top, const Numbers &cosine,
                 const Numbers &sine, const Indices &first, const Numbers &tangent, double aside,
                 double distance, double pixel, const Picture &out, int threads) {
    asyncred::fan_forward(fan(x.shape(0), x.shape(1), left, top, cosine, sine, first, out.shape(0),
                              out.shape(1), tangent, aside, distance, pixel, threads),
                          x.data(), out.data(), threads);
}

template <bool near>
void fan_adjoint(const Matrix &r, double left, double top, const Numbers &cosine,
                 const Numbers &sine, const Indices &first, const Numbers &tangent, double aside,
                 double distance, double pixel, const Picture &out, int threads) {
    asyncred::fan_adjoint(fan(out.shape(0), out.shape(1), left, top, cosine, sine, first,
                              r.shape(0), r.shape(1), tangent, aside, distance, pixel, threads),
                          r.data(), near, out.data(), threads);
}

}  // namespace

NB_MODULE(_kernels, module) {
    // Nothing is converted: an array of another type or order would be copied at every call.
    using Unlocked = nb::call_guard<nb::gil_scoped_release>;
    const auto define = [&](auto gradient, auto gradient_of_rows) {
        module.def("dense_gradient", gradient, "A"_a.noconvert(), "x"_a.noconvert(),
                   "y"_a.noconvert(), "out"_a.noconvert(), "threads"_a, Unlocked());
        module.def("dense_gradient_rows", gradient_of_rows, "A"_a.noconvert(), "x"_a.noconvert(),
                   "y"_a.noconvert(), "rows"_a.noconvert(), "scale"_a, "out"_a.noconvert(),
                   "threads"_a, Unlocked());
    };
    define(&dense_gradient<Matrix>, &dense_gradient_rows<Matrix>);
    define(&dense_gradient<HalfMatrix>, &dense_gradient_rows<HalfMatrix>);
    module.def("to_half", &to_half, "A"_a.noconvert(), "out"_a.noconvert(), Unlocked());
    module.def("joseph_forward", &joseph_forward, "x"_a.noconvert(), "left"_a, "top"_a,
               "cosine"_a.noconvert(), "sine"_a.noconvert(), "first"_a.noconvert(), "center"_a,
               "spacing"_a, "pixel"_a, "out"_a.noconvert(), "threads"_a, Unlocked());
    module.def("joseph_adjoint", &joseph_adjoint, "r"_a.noconvert(), "left"_a, "top"_a,
               "cosine"_a.noconvert(), "sine"_a.noconvert(), "first"_a.noconvert(), "center"_a,
               "spacing"_a, "pixel"_a, "out"_a.noconvert(), "threads"_a, Unlocked());
    module.def("fan_forward", &fan_forward, "x"_a.noconvert(), "left"_a, "top"_a,
               "cosine"_a.noconvert(), "sine"_a.noconvert(), "first"_a.noconvert(),
               "tangent"_a.noconvert(), "aside"_a, "distance"_a, "pixel"_a, "out"_a.noconvert(),
               "threads"_a, Unlocked());
    const auto define_back = [&](const char *name, auto back) {
        module.def(name, back, "r"_a.noconvert(), "left"_a, "top"_a, "cosine"_a.noconvert(),
                   "sine"_a.noconvert(), "first"_a.noconvert(), "tangent"_a.noconvert(),
                   "aside"_a, "distance"_a, "pixel"_a, "out"_a.noconvert(), "threads"_a,
                   Unlocked());
    };
    define_back("fan_adjoint", &fan_adjoint<false>);
    define_back("fan_backprojection", &fan_adjoint<true>);
#ifdef _OPENMP
    module.attr("openmp") = true;
#else
    module.attr("openmp") = false;
#endif
}
