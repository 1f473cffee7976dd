// One wheel for all x86-64 processors: the loader picks the version that the processor can run.
// With ASYNCRED_NARROW there is one version alone, that of a processor without AVX: for its test.
#pragma once

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(ASYNCRED_NARROW)
#if __GNUC__ >= 12
#define VERSIONS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
// A function for processors with AVX-512 alone; where this is not defined there is none.
#define WIDE __attribute__((target("arch=x86-64-v4")))
#endif
#endif
#ifndef VERSIONS
#define VERSIONS
#endif
