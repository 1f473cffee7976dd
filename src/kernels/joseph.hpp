// Line integrals through a block of an image, after Joseph (1982), and the transpose.
#pragma once

#include <cstdint>

namespace asyncred {

// The block, its views and the detector. Lengths are in pixels; the origin is the rotation axis.
struct Projection {
    std::int64_t h, w;    // of the block
    double left, top;     // x of its first column, y of its first row; y points up
    std::int64_t views;
    const double *cosine, *sine;  // of each view's angle: a ray has x cos + y sin = its bin's place
    const std::int64_t *first;    // the bin that the run of each view begins with
    std::int64_t width;           // bins of a run
    double center, spacing;       // bin b is at (b - center) spacing
    double pixel;                 // unit of the integrals: the side of a pixel
};

// out (views, width) = line integrals of x (h, w), which is 0 outside of the block.
void joseph_forward(const Projection &projection, const float *x, float *out, int threads);

// out (h, w) = the transpose applied to r (views, width).
void joseph_adjoint(const Projection &projection, const float *r, float *out, int threads);

}  // namespace asyncred
