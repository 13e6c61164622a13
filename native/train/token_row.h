// The row of one token in the table of embeddings, trained by itself: the table may be frozen, and the token may be
// new.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace embedcore {

struct TokenRow {
  int64_t id = 0;      // at or beyond the end of the table: the table gets rows up to it
  bool fresh = false;  // begins with new_token_row; false = with the row of the file
};

// The parameter that holds the row where the table is frozen: "embed_tokens.trainable_tokens" [1, width].
std::string token_row_name(const std::string& table);

// First values for a new token: each column is drawn from a normal distribution with the mean and the standard
// deviation of that column in the table [rows, width]. Depends on the table and the seed alone.
std::vector<float> new_token_row(const std::vector<float>& table, int64_t width, uint64_t seed);

// The table with this row at id; rows between its end and id are new as well, and equal to it.
std::vector<float> with_token_row(std::vector<float> table, int64_t id, const std::vector<float>& row);

}  // namespace embedcore
