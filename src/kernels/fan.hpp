// Line integrals from a point source through a block of an image, after Joseph (1982), and the
// transpose.
#pragma once

#include <cstdint>

namespace asyncred {

// The block, its views and the detector. Lengths are in pixels; the origin is the rotation axis. A
// view at angle theta has u = (cos, sin) along its detector and v = (-sin, cos) across it. The
// source is at -aside u - distance v, and the ray of bin b has the direction tangent[b] u + v.
struct Fan {
    std::int64_t h, w;  // of the block
    double left, top;   // x of its first column, y of its first row; y points up
    std::int64_t views;
    const double *cosine, *sine;  // of each view's angle
    const std::int64_t *first;    // the bin that the run of each view begins with
    std::int64_t width;           // bins of a run
    const double *tangent;        // of all bins, ascending
    double aside, distance;       // of the source; the block is nearer to the axis
    double pixel;                 // unit of the integrals: the side of a pixel
};

// out (views, width) = line integrals of x (h, w), which is 0 outside of the block.
void fan_forward(const Fan &fan, const float *x, float *out, int threads);

// out (h, w) = the transpose applied to r (views, width). Where ``near``, what a ray gives to a
// pixel is multiplied by distance / depth, the depth of the pixel along v behind the source.
void fan_adjoint(const Fan &fan, const float *r, bool near, float *out, int threads);

}  // namespace asyncred
