// Which pointers of an operation's arguments are device memory.
#pragma once

#include <vector>

#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/contrastive.h"
#include "ops/dropout.h"
#include "ops/embed.h"
#include "ops/fuse.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "ops/optimizer.h"
#include "ops/pairs.h"
#include "ops/pool.h"
#include "ops/triplet.h"
#include "ops/vectors.h"

namespace embedcore {

// Null is allowed where the contract allows it.
struct NamedPointer {
  const char* name;
  const void* pointer;
};

inline std::vector<NamedPointer> pointers(const DropoutArgs& a) {
  return {{"x", a.x}, {"y", a.y}, {"rows", a.dropout.rows}};
}
inline void add_parts(std::vector<NamedPointer>& list, const LoraPart* parts, int32_t count) {
  for (int32_t i = 0; i < count; ++i) {
    list.push_back({"a", parts[i].a});
    list.push_back({"b", parts[i].b});
    list.push_back({"middle", parts[i].middle});
    list.push_back({"rows of a part", parts[i].dropout.rows});
  }
}
inline std::vector<NamedPointer> pointers(const LinearArgs& a) {
  std::vector<NamedPointer> list = {{"x", a.x}, {"y", a.y}, {"residual", a.residual}, {"rows", a.dropout.rows}};
  add_parts(list, a.lora, a.lora_parts);
  return list;
}
inline std::vector<NamedPointer> pointers(const LinearInputGradientArgs& a) {
  std::vector<NamedPointer> list = {{"dz", a.dz}, {"dx", a.dx}};
  add_parts(list, a.lora, a.lora_parts);
  return list;
}
inline std::vector<NamedPointer> pointers(const LinearWeightGradientArgs& a) {
  return {{"x", a.x}, {"dz", a.dz}, {"dweight", a.dweight}, {"dbias", a.dbias}};
}
inline std::vector<NamedPointer> pointers(const AttentionArgs& a) {
  return {{"qkv", a.qkv},           {"y", a.y},
          {"offsets", a.offsets},   {"prefix", a.prefix},
          {"rope_cos", a.rope_cos}, {"rope_sin", a.rope_sin},
          {"q_norm", a.q_norm},     {"k_norm", a.k_norm},
          {"bias", a.bias},         {"lse", a.lse},
          {"raw", a.raw},           {"the row keys", a.dropout.rows}};
}
inline std::vector<NamedPointer> pointers(const AttentionGradientArgs& a) {
  std::vector<NamedPointer> list = pointers(a.forward);
  list.insert(list.end(), {{"dy", a.dy}, {"dqkv", a.dqkv}});
  return list;
}
inline std::vector<NamedPointer> pointers(const AttentionBiasGradientArgs& a) {
  std::vector<NamedPointer> list = pointers(a.forward);
  list.insert(list.end(), {{"dy", a.dy}, {"dbias", a.dbias}});
  return list;
}
inline std::vector<NamedPointer> pointers(const NormArgs& a) {
  return {{"x", a.x}, {"y", a.y}, {"weight", a.weight}, {"bias", a.bias}, {"mean", a.mean}, {"rstd", a.rstd}};
}
inline std::vector<NamedPointer> pointers(const EmbedArgs& a) {
  std::vector<NamedPointer> list = {{"y", a.y}};
  for (int32_t i = 0; i < a.count; ++i) {
    list.push_back({"a table", a.tables[i].rows});
    list.push_back({"ids", a.tables[i].ids});
  }
  return list;
}
inline std::vector<NamedPointer> pointers(const BagArgs& a) {
  return {{"rows", a.rows},       {"ids", a.ids}, {"offsets", a.offsets}, {"table", a.table}, {"scales", a.scales},
          {"weights", a.weights}, {"y", a.y}};
}
inline std::vector<NamedPointer> pointers(const ActivationArgs& a) { return {{"x", a.x}, {"y", a.y}}; }
inline std::vector<NamedPointer> pointers(const PoolArgs& a) {
  return {{"x", a.x}, {"y", a.y}, {"offsets", a.offsets}, {"skip", a.skip}};
}
inline std::vector<NamedPointer> pointers(const FuseArgs& a) { return {{"x", a.x}, {"y", a.y}}; }
inline std::vector<NamedPointer> pointers(const NormalizeArgs& a) { return {{"x", a.x}, {"lengths", a.lengths}}; }
inline std::vector<NamedPointer> pointers(const SimilarityArgs& a) { return {{"a", a.a}, {"b", a.b}, {"y", a.y}}; }
inline std::vector<NamedPointer> pointers(const QuantizeArgs& a) {
  return {{"x", a.x}, {"minimum", a.minimum}, {"maximum", a.maximum}, {"y", a.y}};
}
inline std::vector<NamedPointer> pointers(const ContrastiveArgs& a) {
  std::vector<NamedPointer> list = {
      {"the positives", a.positive}, {"weights", a.weights}, {"loss", a.loss}, {"dscale", a.dscale}};
  for (int32_t i = 0; i < a.count; ++i) {
    const ContrastiveBlock& b = a.blocks[i];
    list.insert(list.end(),
                {{"a", b.a}, {"k", b.k}, {"da", b.da}, {"dk", b.dk}, {"guide_a", b.guide_a}, {"guide_k", b.guide_k}});
    for (const KeyMatch* match : {&b.own, &b.masks[0], &b.masks[1], &b.masks[2], &b.masks[3]})
      list.insert(list.end(), {{"numbers of rows", match->rows}, {"numbers of keys", match->keys}});
  }
  return list;
}
inline std::vector<NamedPointer> pointers(const TripletArgs& a) {
  return {{"x", a.x}, {"labels", a.labels}, {"dx", a.dx}, {"loss", a.loss}, {"counted", a.counted}};
}
inline std::vector<NamedPointer> pointers(const PairScoresArgs& a) {
  return {{"a", a.a}, {"b", a.b}, {"scores", a.scores}};
}
inline std::vector<NamedPointer> pointers(const PairGradientArgs& a) {
  return {{"a", a.a}, {"b", a.b}, {"dscores", a.dscores}, {"da", a.da}, {"db", a.db}};
}
inline std::vector<NamedPointer> pointers(const SquaredErrorArgs& a) {
  return {{"x", a.x}, {"target", a.target}, {"loss", a.loss}, {"dx", a.dx}};
}

inline std::vector<NamedPointer> pointers(const NormGradientArgs& a) {
  return {{"x", a.x}, {"dy", a.dy}, {"dx", a.dx}, {"weight", a.weight}, {"mean", a.mean}, {"rstd", a.rstd}};
}
inline std::vector<NamedPointer> pointers(const NormWeightGradientArgs& a) {
  return {{"x", a.x}, {"dy", a.dy}, {"mean", a.mean}, {"rstd", a.rstd}, {"dweight", a.dweight}, {"dbias", a.dbias}};
}
inline std::vector<NamedPointer> pointers(const EmbedGradientArgs& a) {
  return {{"rows", a.rows}, {"starts", a.starts}, {"tokens", a.tokens}, {"dy", a.dy}, {"dtable", a.dtable}};
}
inline std::vector<NamedPointer> pointers(const ActivationGradientArgs& a) {
  return {{"x", a.x}, {"dy", a.dy}, {"dx", a.dx}, {"y", a.y}};
}
inline std::vector<NamedPointer> pointers(const PoolGradientArgs& a) {
  return {{"x", a.x}, {"dy", a.dy}, {"dx", a.dx}, {"offsets", a.offsets}, {"skip", a.skip}};
}
inline std::vector<NamedPointer> pointers(const NormalizeGradientArgs& a) {
  return {{"y", a.y}, {"lengths", a.lengths}, {"dy", a.dy}, {"dx", a.dx}};
}
inline std::vector<NamedPointer> pointers(const AxpbyArgs& a) { return {{"x", a.x}, {"y", a.y}}; }
inline std::vector<NamedPointer> pointers(const SumSquaresArgs& a) { return {{"x", a.x}, {"sum", a.sum}}; }
inline std::vector<NamedPointer> pointers(const AdamWArgs& a) {
  return {{"values", a.values}, {"gradients", a.gradients}, {"first", a.first}, {"second", a.second}};
}

}  // namespace embedcore
