#include "ops/check_parts.h"
#include "ops/checks.h"
#include "ops/contrastive.h"
#include "ops/pairs.h"
#include "ops/triplet.h"

namespace embedcore {

using namespace checks;

namespace {

constexpr const char* kContrastive = "contrastive";

// Both sides of what belongs together, or none.
bool is_whole(Stream& stream, const char* what, const void* rows, const void* keys, bool needed = false) {
  if ((rows == nullptr) == (keys == nullptr) && (rows || !needed)) return true;
  return refuse(stream, "Expected %s of contrastive for its rows and its keys but received %s", what,
                rows || keys ? "one of them" : "none");
}

bool is_gradient(Stream& stream, Operand of, const float* gradient, int64_t rows, int64_t width, int64_t stride) {
  return !gradient || are_rows(stream, of, gradient, rows, width, stride);
}

bool is_block(Stream& stream, const ContrastiveArgs& args, const ContrastiveBlock& block, bool touched) {
  if (!is_size(stream, {"the keys of a block", kContrastive}, block.keys)) return false;
  if (!touched) return true;
  const int64_t keys = block.keys;
  if (!are_rows(stream, {"a", kContrastive}, block.a, args.rows, args.width, block.a_stride) ||
      !are_rows(stream, {"k", kContrastive}, block.k, keys, args.width, block.k_stride) ||
      !is_gradient(stream, {"da", kContrastive}, block.da, args.rows, args.width, block.da_stride) ||
      !is_gradient(stream, {"dk", kContrastive}, block.dk, keys, args.width, block.dk_stride))
    return false;
  if (keys == 0) return true;
  for (const float hardness : {block.own_hardness, block.other_hardness})
    if (!(hardness >= 0))
      return refuse(stream, "Expected a hardness of at least 0 for contrastive but received %g",
                    static_cast<double>(hardness));
  for (const KeyMatch& mask : block.masks)
    if (!is_whole(stream, "a mask", mask.rows, mask.keys)) return false;
  if (!is_whole(stream, "the own keys", block.own.rows, block.own.keys, block.own_hardness != block.other_hardness) ||
      !is_whole(stream, "the guide", block.guide_a, block.guide_k))
    return false;
  if (!block.guide_a) return true;
  if (!args.blocks[0].guide_a)
    return refuse(stream, "Expected a guide for block 0 of contrastive, which another block has, but received none");
  const int64_t width = args.guide_width;
  return are_rows(stream, {"a of the guide", kContrastive}, block.guide_a, args.rows, width, block.guide_a_stride) &&
         are_rows(stream, {"k of the guide", kContrastive}, block.guide_k, keys, width, block.guide_k_stride);
}

bool share_all(const ContrastiveBlock& a, const ContrastiveBlock& b) {
  return a.keys == b.keys && a.dk_stride == b.dk_stride;
}

}  // namespace

bool can_run(Stream& stream, const ContrastiveArgs& args) {
  if (args.count < 1 || args.count > kMostContrastiveBlocks)
    return refuse(stream, "Expected 1 to %d blocks for contrastive but received %d",
                  static_cast<int>(kMostContrastiveBlocks), static_cast<int>(args.count));
  if (!is_given(stream, {"the blocks", kContrastive}, args.blocks) ||
      !is_size(stream, {"rows", kContrastive}, args.rows) || !is_size(stream, {"the width", kContrastive}, args.width))
    return false;
  if (!(args.scale > 0))
    return refuse(stream, "Expected a scale above 0 for contrastive but received %g", static_cast<double>(args.scale));
  const bool touched = args.rows > 0;
  if (touched && !is_size(stream, {"the keys of block 0", kContrastive}, args.blocks[0].keys, 1)) return false;
  if (!is_given(stream, {"the positives", kContrastive}, args.positive, touched) ||
      !is_given(stream, {"the loss", kContrastive}, args.loss, touched) ||
      !is_size(stream, {"the guide's width", kContrastive}, args.guide_width))
    return false;
  for (int32_t i = 0; i < args.count; ++i) {
    if (!is_block(stream, args, args.blocks[i], touched)) return false;
    for (int32_t j = 0; j < i; ++j)
      if (args.blocks[i].dk && args.blocks[i].dk == args.blocks[j].dk && !share_all(args.blocks[i], args.blocks[j]))
        return refuse(stream,
                      "Expected blocks of contrastive with the same dk to have as many keys but received %lld and %lld",
                      Integer{args.blocks[j].keys}, Integer{args.blocks[i].keys});
  }
  return true;
}

bool can_run(Stream& stream, const TripletArgs& args) {
  constexpr const char* kOp = "triplet";
  if (!is_kind(stream, {"the mining", kOp}, args.mining, TripletMining::kSemiHard) ||
      !is_kind(stream, {"the distance", kOp}, args.distance, Distance::kCosine) ||
      !is_size(stream, {"rows", kOp}, args.rows) || !is_size(stream, {"the width", kOp}, args.width))
    return false;
  if (args.soft_margin && args.mining != TripletMining::kBatchHard)
    return refuse(stream, "Expected no soft margin for triplet with mining %d, only with 0 (batch-hard)",
                  static_cast<int>(args.mining));
  return are_rows(stream, {"x", kOp}, args.x, args.rows, args.width, args.x_stride) &&
         is_gradient(stream, {"dx", kOp}, args.dx, args.rows, args.width, args.dx_stride) &&
         is_given(stream, {"the labels", kOp}, args.labels, args.rows > 0) &&
         is_given(stream, {"the loss", kOp}, args.loss);
}

bool can_run(Stream& stream, const PairScoresArgs& args) {
  constexpr const char* kOp = "pair_scores";
  return is_kind(stream, {"the kind", kOp}, args.kind, PairScore::kAngle) &&
         is_size(stream, {"rows", kOp}, args.rows) && is_size(stream, {"the width", kOp}, args.width) &&
         are_rows(stream, {"a", kOp}, args.a, args.rows, args.width, args.a_stride) &&
         are_rows(stream, {"b", kOp}, args.b, args.rows, args.width, args.b_stride) &&
         is_given(stream, {"the scores", kOp}, args.scores, args.rows > 0);
}

bool can_run(Stream& stream, const PairGradientArgs& args) {
  constexpr const char* kOp = "pair_gradient";
  return is_kind(stream, {"the kind", kOp}, args.kind, PairScore::kAngle) &&
         is_size(stream, {"rows", kOp}, args.rows) && is_size(stream, {"the width", kOp}, args.width) &&
         are_rows(stream, {"a", kOp}, args.a, args.rows, args.width, args.a_stride) &&
         are_rows(stream, {"b", kOp}, args.b, args.rows, args.width, args.b_stride) &&
         is_given(stream, {"the gradients of the scores", kOp}, args.dscores, args.rows > 0) &&
         is_gradient(stream, {"da", kOp}, args.da, args.rows, args.width, args.da_stride) &&
         is_gradient(stream, {"db", kOp}, args.db, args.rows, args.width, args.db_stride);
}

bool can_run(Stream& stream, const SquaredErrorArgs& args) {
  constexpr const char* kOp = "squared_error";
  return is_size(stream, {"rows", kOp}, args.rows) && is_size(stream, {"the width", kOp}, args.width) &&
         are_rows(stream, {"x", kOp}, args.x, args.rows, args.width, args.x_stride) &&
         are_rows(stream, {"the target", kOp}, args.target, args.rows, args.width, args.target_stride) &&
         is_given(stream, {"the loss", kOp}, args.loss, args.rows > 0) &&
         is_gradient(stream, {"dx", kOp}, args.dx, args.rows, args.width, args.dx_stride);
}

}  // namespace embedcore
