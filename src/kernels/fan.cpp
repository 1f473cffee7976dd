// A ray is followed line by line: along the rows of the image where it is steep, else along its
// columns. In each line it meets a place between two pixels, which share it by linear
// interpolation. On line l ray k of a view meets the place middle[k] + (l - mid) slope[k], mid the
// middle line of the block: in single precision that is exact to a small share of a pixel, however
// far the source is. Places count from 1 at the first pixel of a line, so that 0 and n + 1 are the
// empty places beside its n pixels.
#include "fan.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "lines.hpp"
#include "parallel.hpp"
#include "versions.hpp"

namespace asyncred {
namespace {

// Rays next to each other that are followed along the same lines, in the same direction.
struct Run {
    bool rows;
    bool ahead;           // from the first line to the last
    bool rising;          // places grow from ray to ray
    std::int64_t begin, end;
    double source_line, source_place;
};

// How the rays of one view meet the block.
struct Rays {
    explicit Rays(std::int64_t width)
        : middle(width), slope(width), weight(width), across(width) {}
    std::vector<float> middle, slope;
    std::vector<float> weight;  // length of a ray between two lines
    std::vector<float> across;  // lines that a ray passes while it gets 1 deeper along v
    std::vector<Run> runs;
};

// Of rays with the tangents t: a and b say how the direction follows from them, along the lines
// (a t + b) and across (c t + d).
VERSIONS void slopes(const double *__restrict t, std::int64_t n, double a, double b, double c,
                     double d, double source, double behind, double pixel,
                     float *__restrict middle, float *__restrict slope, float *__restrict weight,
                     float *__restrict across) {
#pragma omp simd
    for (std::int64_t k = 0; k < n; ++k) {
        const double lines = c * t[k] + d, m = (a * t[k] + b) / lines;
        slope[k] = static_cast<float>(m);
        middle[k] = static_cast<float>(source + behind * m);
        weight[k] = static_cast<float>(pixel * std::sqrt(1 + m * m));
        across[k] = static_cast<float>(std::abs(lines));
    }
}

void meet(const Fan &p, std::int64_t v, Rays &rays) {
    const double c = p.cosine[v], s = p.sine[v];
    const double *tangent = p.tangent + p.first[v];
    const double x = -p.aside * c + p.distance * s, y = -p.aside * s - p.distance * c;
    // Direction of a ray: (t c - s, t s + c), y upwards.
    const auto steep = [&](std::int64_t k) {
        return std::abs(tangent[k] * s + c) >= std::abs(tangent[k] * c - s);
    };
    const auto ahead = [&](std::int64_t k, bool rows) {
        return rows ? tangent[k] * s + c < 0 : tangent[k] * c - s > 0;
    };
    rays.runs.clear();
    for (std::int64_t k = 0, end; k < p.width; k = end) {
        Run run{};
        run.rows = steep(k), run.ahead = ahead(k, run.rows), run.begin = k;
        for (end = k + 1; end < p.width; ++end)
            if (steep(end) != run.rows || ahead(end, run.rows) != run.ahead) break;
        run.end = end;
        // Lines and places count downwards where they are along y.
        run.source_line = run.rows ? p.top - y : x - p.left;
        run.source_place = 1 + (run.rows ? x - p.left : p.top - y);
        const double mid = static_cast<double>((run.rows ? p.h : p.w) - 1) / 2;
        const double along[2] = {run.rows ? c : -s, run.rows ? -s : -c};
        const double over[2] = {run.rows ? -s : c, run.rows ? -c : -s};
        slopes(tangent + k, end - k, along[0], along[1], over[0], over[1], run.source_place,
               mid - run.source_line, p.pixel, &rays.middle[k], &rays.slope[k], &rays.weight[k],
               &rays.across[k]);
        // In double precision: rays of a source far away differ by little.
        const auto slope = [&](std::int64_t ray) {
            return (along[0] * tangent[ray] + along[1]) / (over[0] * tangent[ray] + over[1]);
        };
        run.rising = (slope(end - 1) >= slope(k)) == run.ahead;
        rays.runs.push_back(run);
    }
}

// The rays of a run whose place on a line is in [0, n + 1), found from those on the line before.
struct Range {
    std::int64_t begin, end;

    void move(const Run &run, const float *middle, const float *slope, float t, std::int64_t n) {
        const float top = static_cast<float>(n + 1);
        const auto below = [&](std::int64_t k) { return middle[k] + t * slope[k] < 0; };
        const auto above = [&](std::int64_t k) { return middle[k] + t * slope[k] >= top; };
        if (run.rising)
            advance(run, below, above);
        else
            advance(run, above, below);
    }

private:
    template <class Before, class Behind>
    void advance(const Run &run, const Before &before, const Behind &behind) {
        while (begin > run.begin && !before(begin - 1)) --begin;
        while (begin < run.end && before(begin)) ++begin;
        end = std::max(end, begin);
        while (end < run.end && !behind(end)) ++end;
        while (end > begin && behind(end - 1)) --end;
    }
};

// out[k] += what ray k meets in a line of n pixels, empty places at both ends.
VERSIONS void add_line(const float *__restrict line, const float *__restrict middle,
                       const float *__restrict slope, float t, std::int32_t n, std::int32_t begin,
                       std::int32_t end, float *__restrict out) {
#pragma omp simd
    for (std::int32_t k = begin; k < end; ++k) {
        const float place = middle[k] + t * slope[k];
        // Rounding may leave a place just outside.
        const std::int32_t i = std::min(std::max(static_cast<std::int32_t>(place), 0), n);
        const float f = place - static_cast<float>(i);
        out[k] += line[i] + f * (line[i + 1] - line[i]);
    }
}

// What ray k gives to the places i[k] and i[k] + 1 of a line: before[k] and behind[k].
VERSIONS void share(const float *__restrict r, float scale, const float *__restrict middle,
                    const float *__restrict slope, float t, std::int32_t n, std::int32_t begin,
                    std::int32_t end, std::int32_t *__restrict i, float *__restrict before,
                    float *__restrict behind) {
#pragma omp simd
    for (std::int32_t k = begin; k < end; ++k) {
        const float place = middle[k] + t * slope[k];
        i[k] = std::min(std::max(static_cast<std::int32_t>(place), 0), n);
        const float value = scale * r[k];
        behind[k] = (place - static_cast<float>(i[k])) * value;
        before[k] = value - behind[k];
    }
}

// Line by line: ``work(l, line of the run, t, rays that meet it)``, from one line on to another.
template <class Work>
void follow(const Run &run, const Rays &rays, std::int64_t n, std::int64_t lines,
            std::int64_t first, std::int64_t end, const Work &work) {
    Range range{run.begin, run.begin};
    for (std::int64_t l = first; l < end; ++l) {
        const double behind = static_cast<double>(l) - run.source_line;
        if (run.ahead ? behind <= 0 : behind >= 0) continue;  // it lies behind the source
        const float t = static_cast<float>(l) - static_cast<float>(lines - 1) / 2;
        range.move(run, rays.middle.data(), rays.slope.data(), t, n);
        if (range.begin < range.end)
            work(l, t, static_cast<float>(1 / std::abs(behind)),
                 static_cast<std::int32_t>(range.begin), static_cast<std::int32_t>(range.end));
    }
}

// Sums of what rays give to the places i and i + 1 of each line, in pairs.
struct Sums {
    Sums(std::int64_t lines, std::int64_t n) : stride(2 * (n + 1)), pairs(lines * stride) {}
    std::int64_t stride;
    std::vector<float> pairs;

    float of_pixel(std::int64_t l, std::int64_t j) const {
        const float *line = &pairs[l * stride + 2 * j];
        return line[1] + line[2];
    }
};

}  // namespace

void fan_forward(const Fan &p, const float *x, float *out, int threads) {
    const std::vector<float> rows = lines_of(x, p.h, p.w, true, 0);
    const std::vector<float> columns = lines_of(x, p.h, p.w, false, 0);
    const auto project = [&](std::int64_t v) {
        Rays rays(p.width);
        meet(p, v, rays);
        std::vector<float> sums(p.width);
        for (const Run &run : rays.runs) {
            const std::int64_t n = run.rows ? p.w : p.h, lines = run.rows ? p.h : p.w;
            const float *pixels = run.rows ? rows.data() : columns.data();
            follow(run, rays, n, lines, 0, lines,
                   [&](std::int64_t l, float t, float, std::int32_t begin, std::int32_t end) {
                       add_line(pixels + l * (n + 2), rays.middle.data(), rays.slope.data(), t,
                                static_cast<std::int32_t>(n), begin, end, sums.data());
                   });
        }
        for (std::int64_t k = 0; k < p.width; ++k) out[v * p.width + k] = rays.weight[k] * sums[k];
    };
    in_parallel(p.views, threads, project);
}

void fan_adjoint(const Fan &p, const float *r, bool near, float *out, int threads) {
    // Every pixel gets its sum from one thread, in the order of the views.
    Sums rows(p.h, p.w), columns(p.w, p.h);
    const auto spread = [&](std::int64_t thread) {
        Rays rays(p.width);
        std::vector<float> given(p.width), before(p.width), behind(p.width);
        std::vector<std::int32_t> place(p.width);
        for (std::int64_t v = 0; v < p.views; ++v) {
            meet(p, v, rays);
            for (std::int64_t k = 0; k < p.width; ++k) {
                given[k] = rays.weight[k] * r[v * p.width + k];
                if (near) given[k] *= static_cast<float>(p.distance) * rays.across[k];
            }
            for (const Run &run : rays.runs) {
                const std::int64_t n = run.rows ? p.w : p.h, lines = run.rows ? p.h : p.w;
                Sums &sums = run.rows ? rows : columns;
                follow(run, rays, n, lines, lines * thread / threads,
                       lines * (thread + 1) / threads,
                       [&](std::int64_t l, float t, float nearness, std::int32_t begin,
                           std::int32_t end) {
                           share(given.data(), near ? nearness : 1.0f, rays.middle.data(),
                                 rays.slope.data(), t, static_cast<std::int32_t>(n), begin, end,
                                 place.data(), before.data(), behind.data());
                           float *line = &sums.pairs[l * sums.stride];
                           for (std::int32_t k = begin; k < end; ++k) {
                               line[2 * place[k]] += before[k];
                               line[2 * place[k] + 1] += behind[k];
                           }
                       });
            }
        }
    };
    in_parallel(threads, threads, spread);
    for (std::int64_t i = 0; i < p.h; ++i)
        for (std::int64_t j = 0; j < p.w; ++j)
            out[i * p.w + j] = rows.of_pixel(i, j) + columns.of_pixel(j, i);
}

}  // namespace asyncred
