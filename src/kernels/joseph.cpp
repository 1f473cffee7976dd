// A ray is followed line by line: along the rows of the image where it is steep, else along its
// columns. In each line it meets a place between two pixels, which share it by linear
// interpolation. The rays of one view meet a line at equal distances: place = start + k step for
// the k-th bin of the view's run.
#include "joseph.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "versions.hpp"

namespace asyncred {
namespace {

// How a view meets the lines of the block: places count from 1 at the first pixel of a line, so
// that 0 and n + 1 are the empty places beside its n pixels.
struct View {
    bool rows;            // lines are rows
    double start, slope;  // of line l: start + l slope
    double step;          // from bin to bin
    float weight;         // length of a ray between two lines
};

View meet(const Projection &p, std::int64_t v) {
    const double c = p.cosine[v], s = p.sine[v];
    const double bin = (p.first[v] - p.center) * p.spacing;
    View view;
    view.rows = std::abs(c) >= std::abs(s);
    if (view.rows) {  // x = (bin - y sin) / cos, y = top - l
        view.start = (bin - p.top * s) / c - p.left + 1;
        view.slope = s / c;
        view.step = p.spacing / c;
        view.weight = static_cast<float>(p.pixel / std::abs(c));
    } else {  // y = (bin - x cos) / sin, x = left + l; places count downwards
        view.start = p.top - (bin - p.left * c) / s + 1;
        view.slope = c / s;
        view.step = -p.spacing / s;
        view.weight = static_cast<float>(p.pixel / std::abs(s));
    }
    return view;
}

// The bins of a run whose place is in [0, n + 1).
struct Range {
    std::int64_t begin, end;
};

Range inside(float start, float step, std::int64_t n, std::int64_t width) {
    const float top = static_cast<float>(n + 1);
    const double a = -start / static_cast<double>(step);
    const double b = (top - start) / static_cast<double>(step);
    const double last = static_cast<double>(width);
    std::int64_t begin = static_cast<std::int64_t>(std::clamp(std::ceil(std::min(a, b)), 0.0, last));
    std::int64_t end = static_cast<std::int64_t>(std::clamp(std::ceil(std::max(a, b)), 0.0, last));
    const auto out = [&](std::int64_t k) {
        const float place = start + static_cast<float>(k) * step;
        return !(place >= 0 && place < top);
    };
    while (begin < end && out(begin)) ++begin;
    while (begin < end && out(end - 1)) --end;
    return {begin, end};
}

// out[k] += what the k-th ray of a view meets in a line of n pixels, empty places at both ends.
VERSIONS void add_line(const float *__restrict line, float start, float step, Range range,
                       float *__restrict out) {
#pragma omp simd
    for (std::int32_t k = static_cast<std::int32_t>(range.begin);
         k < static_cast<std::int32_t>(range.end); ++k) {
        const float place = start + static_cast<float>(k) * step;
        const std::int32_t i = static_cast<std::int32_t>(place);
        const float f = place - static_cast<float>(i);
        out[k] += line[i] + f * (line[i + 1] - line[i]);
    }
}

// line[j] += what the rays r of a view give to it. r has a zero before and behind its run.
VERSIONS void spread_line(const float *__restrict r, std::int32_t width, float start, float step,
                          std::int32_t n, float *__restrict line) {
    const float per_place = 1 / step, reach = std::abs(per_place);
    const std::int32_t most = static_cast<std::int32_t>(std::ceil(2 * reach));
    for (std::int32_t t = 1; t <= most; ++t) {
#pragma omp simd
        for (std::int32_t j = 0; j < n; ++j) {
            const float place = static_cast<float>(j + 1);
            // Rounds down from -1 on; below, later bins than needed, which are too far away.
            std::int32_t k =
                static_cast<std::int32_t>((place - start) * per_place - reach + 1) - 1 + t;
            k = std::min(std::max(k, -1), width);
            const float distance = start + static_cast<float>(k) * step - place;
            line[j] += std::max(1 - std::abs(distance), 0.0f) * r[k];
        }
    }
}

// The lines of a block with an empty place at both ends of each: rows, or columns.
std::vector<float> lines_of(const Projection &p, const float *x, bool rows) {
    const std::int64_t n = rows ? p.w : p.h, lines = rows ? p.h : p.w;
    std::vector<float> result(lines * (n + 2));
    for (std::int64_t l = 0; l < lines; ++l)
        for (std::int64_t j = 0; j < n; ++j)
            result[l * (n + 2) + j + 1] = rows ? x[l * p.w + j] : x[j * p.w + l];
    return result;
}

}  // namespace

void joseph_forward(const Projection &p, const float *x, float *out, int threads) {
    const std::vector<float> rows = lines_of(p, x, true), columns = lines_of(p, x, false);
    const auto project = [&](std::int64_t v) {
        const View view = meet(p, v);
        const std::int64_t n = view.rows ? p.w : p.h, lines = view.rows ? p.h : p.w;
        const float *line = view.rows ? rows.data() : columns.data();
        const float step = static_cast<float>(view.step);
        float *run = out + v * p.width;
        std::fill(run, run + p.width, 0.0f);
        for (std::int64_t l = 0; l < lines; ++l, line += n + 2) {
            const float start = static_cast<float>(view.start + static_cast<double>(l) * view.slope);
            add_line(line, start, step, inside(start, step, n, p.width), run);
        }
        for (std::int64_t k = 0; k < p.width; ++k) run[k] *= view.weight;
    };
    if (threads == 1) {
        for (std::int64_t v = 0; v < p.views; ++v) project(v);
        return;
    }
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static)
#endif
    for (std::int64_t v = 0; v < p.views; ++v) project(v);
}

void joseph_adjoint(const Projection &p, const float *r, float *out, int threads) {
    // Every pixel gets its sum from one thread, in the order of the views.
    std::vector<float> padded(p.views * (p.width + 2));
    for (std::int64_t v = 0; v < p.views; ++v) {
        const float weight = meet(p, v).weight;
        for (std::int64_t k = 0; k < p.width; ++k)
            padded[v * (p.width + 2) + k + 1] = weight * r[v * p.width + k];
    }
    std::vector<float> columns(p.w * p.h);
    std::fill(out, out + p.h * p.w, 0.0f);
    const auto spread = [&](int t) {
        for (std::int64_t v = 0; v < p.views; ++v) {
            const View view = meet(p, v);
            const std::int64_t n = view.rows ? p.w : p.h, lines = view.rows ? p.h : p.w;
            float *line = view.rows ? out : columns.data();
            for (std::int64_t l = lines * t / threads; l < lines * (t + 1) / threads; ++l)
                spread_line(padded.data() + v * (p.width + 2) + 1,
                            static_cast<std::int32_t>(p.width),
                            static_cast<float>(view.start + static_cast<double>(l) * view.slope),
                            static_cast<float>(view.step), static_cast<std::int32_t>(n),
                            line + l * n);
        }
    };
    if (threads == 1) {
        spread(0);
    } else {
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static, 1)
#endif
        for (int t = 0; t < threads; ++t) spread(t);
    }
    for (std::int64_t l = 0; l < p.w; ++l)
        for (std::int64_t j = 0; j < p.h; ++j) out[j * p.w + l] += columns[l * p.h + j];
}

}  // namespace asyncred
