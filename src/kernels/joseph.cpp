// A ray is followed line by line: along the rows of the image where it is steep, else along its
// columns. In each line it meets a place between two pixels, which share it by linear
// interpolation. The rays of one view meet a line at equal distances: place = start + k step for
// the k-th bin of the view's run.
#include "joseph.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "lines.hpp"
#include "parallel.hpp"
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

// With AVX-512 the 16 values that 16 neighbours look up lie so close that two registers hold them all:
// a permutation takes the place of a gather, which is several times slower. SPARE floats behind
// every line and run may be read, and lanes beyond the end written.
constexpr std::int64_t SPARE = 40;

#ifdef WIDE
typedef float Floats __attribute__((vector_size(64), aligned(4)));
typedef std::int32_t Ints __attribute__((vector_size(64), aligned(4)));
const Ints LANES = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// Whether 16 neighbours, ``apart`` of each other, and one more fit into 32 values.
bool close_enough(float apart, std::int32_t more) { return 15 * std::abs(apart) + more + 1 < 31; }

// As add_line, for places less than two apart.
WIDE void add_line_wide(const float *line, float start, float step, std::int64_t n, Range range,
                        float *out) {
    const float top = static_cast<float>(n + 1);
    const Floats lanes = __builtin_convertvector(LANES, Floats);
    for (std::int64_t first = range.begin; first < range.end; first += 16) {
        const Floats place = start + (lanes + static_cast<float>(first)) * step;
        const Ints inside = (place >= 0) & (place < top);
        const Ints i = __builtin_convertvector(reinterpret_cast<Floats>(
                                                   reinterpret_cast<Ints>(place) & inside),
                                               Ints);
        const Floats f = place - __builtin_convertvector(i, Floats);
        const float a = start + static_cast<float>(first) * step, b = a + 15 * step;
        const std::int32_t base = static_cast<std::int32_t>(
            std::clamp(std::min(a, b), 0.0f, static_cast<float>(n)));
        const Floats low = *reinterpret_cast<const Floats *>(line + base);
        const Floats high = *reinterpret_cast<const Floats *>(line + base + 16);
        const Ints index = i - base;
        const Floats left = __builtin_shuffle(low, high, index);
        const Floats right = __builtin_shuffle(low, high, index + 1);
        const Floats met = left + f * (right - left);
        *reinterpret_cast<Floats *>(out + first) +=
            reinterpret_cast<Floats>(reinterpret_cast<Ints>(met) & inside);
    }
}

// As spread_line, for bins that meet the line less than two places apart, nor too close.
WIDE void spread_line_wide(const float *r, std::int32_t width, float start, float step,
                           std::int32_t n, float *line) {
    const float per_place = 1 / step, reach = std::abs(per_place);
    const std::int32_t most = static_cast<std::int32_t>(std::ceil(2 * reach));
    const Floats lanes = __builtin_convertvector(LANES, Floats);
    for (std::int32_t first = 0; first < n; first += 16) {
        const Floats place = lanes + static_cast<float>(first + 1);
        const Ints begin =
            __builtin_convertvector((place - start) * per_place - reach + 1, Ints);
        const Ints bounded = begin < -1 ? Ints{} - 1 : (begin > width ? Ints{} + width : begin);
        const std::int32_t base = std::min(bounded[0], bounded[15]);
        const Floats low = *reinterpret_cast<const Floats *>(r + base);
        const Floats high = *reinterpret_cast<const Floats *>(r + base + 16);
        Floats sum = *reinterpret_cast<const Floats *>(line + first);
        for (std::int32_t t = 0; t < most; ++t) {
            const Ints k = bounded + t;
            const Floats distance = start + __builtin_convertvector(k, Floats) * step - place;
            const Floats weight = 1 - reinterpret_cast<Floats>(
                                          reinterpret_cast<Ints>(distance) & 0x7fffffff);
            const Floats share =
                reinterpret_cast<Floats>(reinterpret_cast<Ints>(weight) & (weight > 0));
            sum += share * __builtin_shuffle(low, high, k - base);
        }
        *reinterpret_cast<Floats *>(line + first) = sum;
    }
}
#endif

bool wide() {
#ifdef WIDE
    return __builtin_cpu_supports("x86-64-v4");
#else
    return false;
#endif
}

}  // namespace

void joseph_forward(const Projection &p, const float *x, float *out, int threads) {
    const std::vector<float> rows = lines_of(x, p.h, p.w, true, SPARE);
    const std::vector<float> columns = lines_of(x, p.h, p.w, false, SPARE);
    const auto project = [&](std::int64_t v) {
        const View view = meet(p, v);
        const std::int64_t n = view.rows ? p.w : p.h, lines = view.rows ? p.h : p.w;
        const float *line = view.rows ? rows.data() : columns.data();
        const float step = static_cast<float>(view.step);
        std::vector<float> run(p.width + SPARE);
        for (std::int64_t l = 0; l < lines; ++l, line += n + 2) {
            const float start = static_cast<float>(view.start + static_cast<double>(l) * view.slope);
            const Range range = inside(start, step, n, p.width);
#ifdef WIDE
            if (wide() && close_enough(step, 1)) {
                add_line_wide(line, start, step, n, range, run.data());
                continue;
            }
#endif
            add_line(line, start, step, range, run.data());
        }
        for (std::int64_t k = 0; k < p.width; ++k) out[v * p.width + k] = view.weight * run[k];
    };
    in_parallel(p.views, threads, project);
}

void joseph_adjoint(const Projection &p, const float *r, float *out, int threads) {
    // Every pixel gets its sum from one thread, in the order of the views.
    const std::int64_t stride = 1 + p.width + SPARE;
    std::vector<float> padded(p.views * stride);
    for (std::int64_t v = 0; v < p.views; ++v) {
        const float weight = meet(p, v).weight;
        for (std::int64_t k = 0; k < p.width; ++k)
            padded[v * stride + k + 1] = weight * r[v * p.width + k];
    }
    const std::int64_t row = (p.w + 15) / 16 * 16, column = (p.h + 15) / 16 * 16;
    std::vector<float> rows(p.h * row), columns(p.w * column);
    const auto spread = [&](std::int64_t t) {
        for (std::int64_t v = 0; v < p.views; ++v) {
            const View view = meet(p, v);
            const std::int64_t lines = view.rows ? p.h : p.w, long_as = view.rows ? row : column;
            float *line = view.rows ? rows.data() : columns.data();
            const float step = static_cast<float>(view.step), *run = padded.data() + v * stride + 1;
            const auto n = static_cast<std::int32_t>(view.rows ? p.w : p.h);
            const auto width = static_cast<std::int32_t>(p.width);
            for (std::int64_t l = lines * t / threads; l < lines * (t + 1) / threads; ++l) {
                const float start =
                    static_cast<float>(view.start + static_cast<double>(l) * view.slope);
#ifdef WIDE
                const auto most = static_cast<std::int32_t>(std::ceil(2 / std::abs(step)));
                if (wide() && close_enough(1 / step, most)) {
                    spread_line_wide(run, width, start, step, n, line + l * long_as);
                    continue;
                }
#endif
                spread_line(run, width, start, step, n, line + l * long_as);
            }
        }
    };
    in_parallel(threads, threads, spread);
    for (std::int64_t i = 0; i < p.h; ++i)
        for (std::int64_t j = 0; j < p.w; ++j)
            out[i * p.w + j] = rows[i * row + j] + columns[j * column + i];
}

}  // namespace asyncred
