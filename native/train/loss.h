// What a training step minimises: a weighted sum of losses over the embeddings of a batch. The kinds, their parameters
// and defaults are those of sentence-transformers.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "ops/pairs.h"
#include "ops/triplet.h"

namespace embedcore {

// A limit above which a key counts as a false negative: positive - value, or positive - value |positive|.
struct FalseNegativeMargin {
  bool is_given = false, is_relative = false;
  double value = 0;
};

enum class HardnessMode : int32_t { kNone, kInBatchNegatives, kHardNegatives, kAllNegatives };

// InfoNCE (ops/contrastive.h) of anchors with positives and negatives. doc_to_query, query_to_query and doc_to_doc add
// directions, in one softmax or, per_direction, as the mean of a loss for each (then only query_to_doc and
// doc_to_query).
//
// With mask_texts a key is left out that is the same text as the row's positive, or that belongs to another row with
// the same anchor; with mask_labels, one that belongs to another row with the same label. Explicit negatives have no
// label and no anchor of their own. In doc_to_query beside query_to_doc the pair itself is then left out as well, which
// query_to_doc has.
//
// learned_scale: the scale is exp(log_scale) of a parameter that the batch gives, and whose gradient the result has. An
// optimiser that lets it grow should limit it, as CLIP does to log 100.
struct MultipleNegativesRankingLoss {
  double scale = 20;
  bool learned_scale = false;
  bool cosine = true;  // otherwise the dot product
  bool query_to_query = false, doc_to_query = false, doc_to_doc = false;
  bool per_direction = false;
  HardnessMode hardness_mode = HardnessMode::kNone;
  double hardness_strength = 0;
  bool mask_texts = false, mask_labels = false;
  FalseNegativeMargin false_negatives{};
};

// InfoNCE without what a guide model finds too similar to be negative.
struct GISTEmbedLoss {
  double temperature = 0.01;
  FalseNegativeMargin margin{.is_given = true};
  bool contrast_anchors = true, contrast_positives = true;
};

// Batch-hard, batch-all, semi-hard and soft-margin triplets, mined in the batch (ops/triplet.h): of the anchors by
// their labels; if there are positives, of these as well, and without labels a row's number is the label of its two
// texts.
struct BatchTripletLoss {
  TripletMining mining = TripletMining::kBatchHard;
  Distance distance = Distance::kEuclidean;
  double margin = 5;
  bool soft_margin = false;
};

enum class PairDistance : int32_t { kCosine, kEuclidean, kManhattan };

// Of explicit triplets.
struct TripletLoss {
  PairDistance distance = PairDistance::kEuclidean;
  double margin = 5;
};
struct CosineSimilarityLoss {};
enum class PairSimilarity : int32_t { kCosine, kDot };
struct CoSENTLoss {
  double scale = 20;
  PairSimilarity similarity = PairSimilarity::kCosine;
};
// With negatives, (anchor, positive) has the labels of the data, or 1, and (anchor, negative) what is left to 1.
struct AnglELoss {
  double scale = 20;
};
struct ContrastiveLoss {
  PairDistance distance = PairDistance::kCosine;
  double margin = 0.5;
  bool size_average = true;
};
struct OnlineContrastiveLoss {
  PairDistance distance = PairDistance::kCosine;
  double margin = 0.5;
};
struct MarginMSELoss {
  PairSimilarity similarity = PairSimilarity::kDot;
};
struct DistillKLDivLoss {
  PairSimilarity similarity = PairSimilarity::kDot;
  double student_temperature = 1, teacher_temperature = 1;
};
// MSELoss is that of kMse.
enum class DistillDistance : int32_t { kMse, kL2, kCosine };
struct EmbedDistillLoss {
  DistillDistance distance = DistillDistance::kCosine;
};

using LossParameters = std::variant<MultipleNegativesRankingLoss, GISTEmbedLoss, BatchTripletLoss, TripletLoss,
                                    CosineSimilarityLoss, CoSENTLoss, AnglELoss, ContrastiveLoss, OnlineContrastiveLoss,
                                    MarginMSELoss, DistillKLDivLoss, EmbedDistillLoss>;

// "MultipleNegativesRankingLoss"
const char* loss_name(const LossParameters& parameters);

// MatryoshkaLoss: the loss of each prefix of the embeddings, normalised, times its weight. n_dims_per_step of them are
// drawn for a step, or all if it is -1.
struct MatryoshkaDims {
  std::vector<int64_t> dims;    // empty: the whole embeddings, as they are
  std::vector<double> weights;  // empty: 1 for each
  int64_t n_dims_per_step = -1;
};

struct LossSpec {
  LossParameters parameters;
  std::string name;  // of its part of the result; empty: loss_name
  double weight = 1;
  MatryoshkaDims matryoshka{};
};

// Throws Error(kInvalidOption) with a sentence about the value.
void check_loss(const LossSpec& spec);

}  // namespace embedcore
