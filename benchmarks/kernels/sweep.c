/* The seed's sweep by hand: mean gradient of relu(W x), W = diag(1, 1, 2, 3), x ~ N(0, 1)^6, for k upstream
 * vectors (0, 0, v2, v3), n fresh draws each. One thread, vector lanes are samples.
 *
 * What a patient programmer would do: x0, x1, x4, x5 reach no gradient, so they are never drawn; W is folded into
 * the constants; the normals of a pair of words (Philox4x32-10, Salmon et al. 2011; Box and Muller 1958) stay in
 * registers. The normals themselves are honest: all 32 bits of both words count, logarithm, sine and cosine are
 * accurate to 2 ulp or so, and nothing uses that only their sign matters here.
 *
 * Counter layout: sample s of slot j and stream t is word (s % 64) / 16 of the counter (16 (s / 64) + s % 16, 0, j, t).
 * GCC or Clang; the width follows the machine (AVX-512, AVX2, else 128 bits). sampling_peers_c.py builds it.
 */
#include <stdint.h>
#include <math.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define BYTES 64
#elif defined(__AVX2__)
#include <immintrin.h>
#define BYTES 32
#else
#define BYTES 16
#endif
#define LANES (BYTES / 4)

typedef uint32_t u32 __attribute__((vector_size(BYTES)));
typedef int32_t i32 __attribute__((vector_size(BYTES)));
typedef float f32 __attribute__((vector_size(BYTES)));
typedef uint64_t u64 __attribute__((vector_size(BYTES)));

#define INLINE static inline __attribute__((always_inline))

INLINE u64 multiply(u64 a, u64 b) /* of the low halves of each 64-bit lane */
{
#if BYTES == 64
    return (u64)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif BYTES == 32
    return (u64)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#else
    return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

INLINE f32 root(f32 x)
{
#if BYTES == 64
    return (f32)_mm512_sqrt_ps((__m512)x);
#elif BYTES == 32
    return (f32)_mm256_sqrt_ps((__m256)x);
#else
    f32 y;
    for (int i = 0; i < LANES; i++) y[i] = sqrtf(x[i]);
    return y;
#endif
}

INLINE f32 choose(i32 mask, f32 yes, f32 no)
{
#if BYTES == 32
    return (f32)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)(f32)mask);
#else
    return (f32)(((i32)yes & mask) | ((i32)no & ~mask));
#endif
}

/* Four words for each of LANES counters (q, 0, slot, stream). The even and the odd lanes are two states of 64-bit
 * lanes whose high halves are never read: a round is two products, two shifts and four xors. */
INLINE void philox(u32 q, uint32_t slot, uint32_t stream, uint64_t seed, u32 word[4])
{
    const u64 m0 = (u64){} + 0xD2511F53u, m1 = (u64){} + 0xCD9E8D57u;
    u64 c[2][4];
    c[0][0] = (u64)q;
    c[1][0] = (u64)q >> 32;
    for (int h = 0; h < 2; h++) {
        c[h][1] = (u64){};
        c[h][2] = (u64){} + slot;
        c[h][3] = (u64){} + stream;
    }
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        for (int h = 0; h < 2; h++) {
            u64 p0 = multiply(c[h][0], m0), p1 = multiply(c[h][2], m1);
            c[h][0] = (p1 >> 32) ^ c[h][1] ^ k0;
            c[h][1] = p1;
            c[h][2] = (p0 >> 32) ^ c[h][3] ^ k1;
            c[h][3] = p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int w = 0; w < 4; w++)
        word[w] = (u32)((c[0][w] & 0xffffffffu) | (c[1][w] << 32));
}

/* -2 ln(u) of u = (a + 1/2) 2^-32, rounded to 31 bits: u = 2^e m, m in [0.7, 1.4), polynomial of Cephes' logf. */
INLINE f32 minus_two_log(u32 a)
{
    f32 u = __builtin_convertvector((i32)(a >> 1), f32) * 0x1p-31f + 0x1p-32f;
    i32 bits = (i32)u - 0x3f3504f3; /* sqrt(1/2) */
    i32 e = bits >> 23;
    f32 f = (f32)((i32)u - (e << 23)) - 1.0f, k = __builtin_convertvector(e, f32), f2 = f * f;
    f32 p = 7.0376836292e-2f * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    p = p * f * f2 - 0.5f * f2 + f;
    return (-2.0f * 0.693147180559945f) * k + -2.0f * p;
}

/* Cosine and sine of the angle 2 pi a 2^-32: the quadrant is read off the bits, the rest is below pi / 4. */
INLINE void turn(u32 a, f32 *cosine, f32 *sine)
{
    u32 q = a + 0x20000000u; /* nearest quadrant in the two top bits */
    f32 t = __builtin_convertvector((i32)(a - (q & 0xc0000000u)), f32) * 1.46291807926715968e-9f, t2 = t * t;
    f32 s = -1.9515295891e-4f * t2 + 8.3321608736e-3f;
    s = (s * t2 - 1.6666654611e-1f) * t2 * t + t;
    f32 c = 2.443315711809948e-5f * t2 - 1.388731625493765e-3f;
    c = (c * t2 + 4.166664568298827e-2f) * t2 * t2 - 0.5f * t2 + 1.0f;
    i32 swap = (i32)(q << 1) >> 31; /* odd quadrant */
    f32 x = choose(swap, s, c), y = choose(swap, c, s);
    *cosine = (f32)((u32)x ^ ((q ^ (q << 1)) & 0x80000000u)); /* negative in quadrants 1 and 2 */
    *sine = (f32)((u32)y ^ (q & 0x80000000u));                /* negative in quadrants 2 and 3 */
}

/* The normals of four groups of LANES samples. */
INLINE void normals(u32 q, uint32_t slot, uint32_t stream, uint64_t seed, f32 x[4])
{
    u32 word[4];
    philox(q, slot, stream, seed, word);
    for (int pair = 0; pair < 4; pair += 2) {
        f32 radius = root(minus_two_log(word[pair])), c, s;
        turn(word[pair + 1], &c, &s);
        x[pair] = radius * c;
        x[pair + 1] = radius * s;
    }
}

INLINE u32 lanes(void)
{
    u32 q;
    for (uint32_t i = 0; i < LANES; i++) q[i] = i;
    return q;
}

#define BLOCK (1 << 20) /* groups whose counts fit into 32 bits */

/* out[k][6]: mean gradients for upstream[k][4]; only entries 2 and 3 of each vector may differ from zero. */
void sweep(const float *upstream, int64_t vectors, int64_t samples, uint64_t seed, double *out)
{
    const float weight[2] = {2.0f, 3.0f};
    const int64_t groups = samples / 64;
    memset(out, 0, (size_t)vectors * 6 * sizeof *out);
    for (int64_t k = 0; k < vectors; k++) {
        int64_t total[2] = {0, 0}; /* samples whose gradient is w v; it is 0 for the others */
        for (int64_t first = 0; first < groups; first += BLOCK) {
            i32 count[2] = {{}, {}};
            int64_t last = first + BLOCK < groups ? first + BLOCK : groups;
            for (int64_t q0 = 16 * first; q0 < 16 * last; q0 += LANES)
_Pragma("GCC unroll 2") /* two independent chains hide each other's latency */
                for (int j = 0; j < 2; j++) {
                    f32 x[4];
                    normals(lanes() + (uint32_t)q0, (uint32_t)j + 2, (uint32_t)k, seed, x);
                    for (int w = 0; w < 4; w++)
                        count[j] -= (i32)(weight[j] * x[w] > 0.0f);
                }
            for (int j = 0; j < 2; j++)
                for (int i = 0; i < LANES; i++) total[j] += count[j][i];
        }
        for (int64_t q0 = 16 * groups; q0 < 16 * groups + 16; q0 += LANES) /* the group that is not full */
            for (int j = 0; j < 2; j++) {
                f32 x[4];
                normals(lanes() + (uint32_t)q0, (uint32_t)j + 2, (uint32_t)k, seed, x);
                for (int w = 0; w < 4; w++)
                    for (int64_t i = 0; i < LANES; i++)
                        if (64 * groups + 16 * w + q0 % 16 + i < samples && weight[j] * x[w][i] > 0.0f) total[j]++;
            }
        for (int j = 0; j < 2; j++)
            out[6 * k + 2 + j] = (double)(upstream[4 * k + 2 + j] * weight[j]) * (double)total[j] / (double)samples;
    }
}

/* The first `samples` normals (a multiple of 64) of one slot and stream, for checking them. */
void draw(int64_t samples, uint32_t slot, uint32_t stream, uint64_t seed, float *out)
{
    for (int64_t q0 = 0; q0 < samples / 4; q0 += LANES) {
        f32 x[4];
        normals(lanes() + (uint32_t)q0, slot, stream, seed, x);
        for (int w = 0; w < 4; w++) memcpy(out + q0 / 16 * 64 + 16 * w + q0 % 16, &x[w], sizeof x[w]);
    }
}
