// The arithmetic of the tensor cores: exact products, float32 sums in the order of k.
#pragma once

#include "emulator/block.h"

namespace embedcore::cuda::emulator {

// c += a b on the fragments of a warp.
void multiply_16816_bf16(Fragments& fragments);
void multiply_16816_f16(Fragments& fragments);
void multiply_1688_f16(Fragments& fragments);
void multiply_16832_u8s8(Fragments& fragments);
void multiply_8816_u8s8(Fragments& fragments);

// rows[8 m + i] is row i of matrix m. Lane l receives in word m the elements 2t, 2t + 1 of row g of matrix m.
void spread_matrices(const unsigned char* const (&rows)[32], uint32_t (&lanes)[32][4]);
// The same of the transposed matrices.
void spread_matrices_transposed(const unsigned char* const (&rows)[32], uint32_t (&lanes)[32][4]);

// sums[16 x n] += rows[16 x 16] columns[n x 16]^T for a multiple of 8 columns; 16 elements lie in two halves of 16
// bytes. The sums are blocks [n / 8][16][8].
void multiply_wgmma_bf16(const unsigned char* const (&rows)[16][2], const unsigned char* const (&columns)[256][2],
                         int n, float* sums);
void multiply_wgmma_f16(const unsigned char* const (&rows)[16][2], const unsigned char* const (&columns)[256][2], int n,
                        float* sums);

}  // namespace embedcore::cuda::emulator
