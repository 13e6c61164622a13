#include <cmath>
#include <limits>
#include <optional>

#include "ops/contrastive.h"
#include "train/loss_context.h"

namespace embedcore {

namespace {

// Texts of one or more columns below each other, normalised where a loss compares cosines, and gradients of them.
class Texts {
 public:
  Texts(LossContext& context, size_t first, size_t columns, int64_t begin, int64_t rows, bool normalise)
      : context_(context), first_(first), columns_(columns), begin_(begin), rows_(rows) {
    x_ = context.ops.rows(count(), context.width);
    for (size_t i = 0; i < columns; ++i)
      context.ops.copy(context.x(first + i, begin), section(x_, i), rows, context.width);
    if (normalise && !context.unit) lengths_ = context.ops.normalize(x_, count(), context.width);
    is_normalised_ = normalise && !context.unit;
  }

  int64_t count() const { return rows_ * static_cast<int64_t>(columns_); }
  View x(int64_t row = 0) const { return at(x_, row); }
  View section(View rows, size_t column) const { return at(rows, static_cast<int64_t>(column) * rows_); }

  // Adds gradients of these texts, which are spoilt, to the columns.
  void finish(View dx) const {
    if (is_normalised_) context_.ops.normalize_gradient(x_, lengths_, dx, count(), context_.width);
    for (size_t i = 0; i < columns_; ++i)
      context_.ops.add(section(dx, i), context_.dx(first_ + i, begin_), rows_, context_.width);
  }

  View at(View rows, int64_t row) const { return context_.ops.measures() ? rows : rows.from_row(row); }

 private:
  LossContext& context_;
  const size_t first_, columns_;
  const int64_t begin_, rows_;
  View x_;
  const float* lengths_ = nullptr;
  bool is_normalised_ = false;
};

// Embeddings of the guide model, normalised.
View guide_texts(LossContext& context, size_t first, size_t columns) {
  const int64_t rows = context.rows(), width = context.batch.guide_width;
  const View all = context.ops.rows(rows * static_cast<int64_t>(columns), width);
  for (size_t i = 0; i < columns; ++i) {
    const LossColumn& column = context.columns[first + i];
    const View from{const_cast<float*>(column.guide), column.guide_stride};  // only read
    const View to = context.ops.measures() ? all : all.from_row(static_cast<int64_t>(i) * rows);
    context.ops.copy(from, to, rows, width);
  }
  context.ops.normalize(all, rows * static_cast<int64_t>(columns), width);
  return all;
}

// Numbers of texts for masks, on the device: of the keys of all rows, and of the rows of the call.
struct Numbers {
  std::vector<int32_t> keys, rows;

  KeyMatch upload(LossContext& context) const { return {context.ops.upload(rows), context.ops.upload(keys)}; }
};

class Masks {
 public:
  Masks(const LossContext& context, bool by_text, bool by_label) : context_(context) {
    has_texts_ = by_text && !context.batch.text_ids.empty();
    has_labels_ = by_label && !context.batch.groups.empty();
  }

  // Of documents: positives, then explicit negatives; own: the row that they belong to.
  Numbers own_documents() const {
    return documents([](int64_t row) { return static_cast<int32_t>(row); }, true, rows_of());
  }
  Numbers own_queries() const {
    return {number([](int64_t row) { return static_cast<int32_t>(row); }), rows_of()};
  }

  // Masks of false negatives among documents or queries, into the free places of a block.
  void add(ContrastiveBlock& block, int32_t used, bool of_documents, LossContext& context) const {
    const auto text = [&](int64_t column) {
      return [this, column](int64_t row) {
        return context_.batch.text_ids[static_cast<size_t>(column * context_.rows() + row)];
      };
    };
    const auto group = [this](int64_t row) { return context_.batch.groups[static_cast<size_t>(row)]; };
    if (has_texts_) {
      // the same positive: of documents their own texts, of queries their positives
      Numbers same;
      if (of_documents)
        for (size_t column = 1; column < context_.columns.size(); ++column)
          append(same.keys, number(text(static_cast<int64_t>(column))));
      else
        same.keys = number(text(1));
      same.rows = local(number(text(1)));
      block.masks[used++] = same.upload(context);
      block.masks[used++] = keyed(text(0), of_documents).upload(context);  // the same anchor
    }
    if (has_labels_) block.masks[used++] = keyed(group, of_documents).upload(context);
  }

 private:
  template <typename Of>
  std::vector<int32_t> number(Of&& of) const {
    std::vector<int32_t> list;
    for (int64_t row = 0; row < context_.rows(); ++row) list.push_back(of(row));
    return list;
  }
  static void append(std::vector<int32_t>& list, const std::vector<int32_t>& more) {
    list.insert(list.end(), more.begin(), more.end());
  }
  std::vector<int32_t> local(const std::vector<int32_t>& all) const {
    return {all.begin() + context_.begin(), all.begin() + context_.begin() + context_.count()};
  }
  std::vector<int32_t> rows_of() const {
    return local(number([](int64_t row) { return static_cast<int32_t>(row); }));
  }

  // Numbers of rows, for their queries or for their documents; explicit negatives have them too, or none.
  template <typename Of>
  Numbers documents(Of&& of, bool of_negatives, std::vector<int32_t> rows) const {
    Numbers numbers{number(of), std::move(rows)};
    const std::vector<int32_t> more =
        of_negatives ? numbers.keys : std::vector<int32_t>(static_cast<size_t>(context_.rows()), -1);
    for (size_t column = 2; column < context_.columns.size(); ++column) append(numbers.keys, more);
    return numbers;
  }
  template <typename Of>
  Numbers keyed(Of&& of, bool of_documents) const {
    if (of_documents) return documents(of, false, local(number(of)));
    return {number(of), local(number(of))};
  }

  const LossContext& context_;
  bool has_texts_ = false, has_labels_ = false;
};

ContrastiveBlock block_of(View a, View k, int64_t keys, View da, View dk) {
  return {.a = a.floats(),
          .a_stride = a.stride,
          .k = k.floats(),
          .k_stride = k.stride,
          .keys = keys,
          .da = da.floats(),
          .da_stride = da.stride,
          .dk = dk.floats(),
          .dk_stride = dk.stride,
          .masks = {},
          .own = {}};
}

// Runs the operation on blocks, whose loss is `part` of the rows' losses.
void run_contrastive(LossContext& context, const std::vector<ContrastiveBlock>& blocks, ContrastiveArgs args,
                     double part, bool learns_scale) {
  const int64_t count = context.count();
  std::vector<int32_t> positive;
  for (int64_t i = 0; i < count; ++i) positive.push_back(static_cast<int32_t>(context.begin() + i));
  auto* losses = context.ops.layout().array<float>(count);
  auto* dscales = learns_scale ? context.ops.layout().array<float>(count) : nullptr;
  args.blocks = blocks.data();
  args.count = static_cast<int32_t>(blocks.size());
  args.rows = count;
  args.width = context.width;
  args.positive = context.ops.upload(std::move(positive));
  args.weight = static_cast<float>(context.weight * part / static_cast<double>(context.rows()));
  args.loss = losses;
  args.dscale = dscales;
  context.ops.run(&Backend::contrastive, args, "contrastive");
  const std::vector<float> values = context.ops.download(losses, count);
  for (size_t i = 0; i < values.size(); ++i) {
    context.value += part * values[i] / static_cast<double>(context.rows());
    if (!std::isfinite(values[i])) context.non_finite_rows.push_back(context.begin() + static_cast<int64_t>(i));
  }
  if (!learns_scale) return;
  for (const float each : context.ops.download(dscales, count))
    context.dlog_scale += static_cast<double>(args.scale) * each;
}

void set_margin(ContrastiveArgs& args, const FalseNegativeMargin& margin) {
  args.has_margin = margin.is_given;
  args.relative_margin = margin.is_relative;
  args.margin = static_cast<float>(margin.value);
}

}  // namespace

void add_loss(LossContext& context, const MultipleNegativesRankingLoss& loss) {
  LossOps& ops = context.ops;
  const int64_t rows = context.rows(), count = context.count(), begin = context.begin(), width = context.width;
  const bool queries_are_keys = loss.query_to_query || loss.doc_to_query;
  const bool docs_are_rows = loss.doc_to_query || loss.doc_to_doc;
  const int64_t first_query = queries_are_keys ? 0 : begin;
  const Texts queries(context, 0, 1, first_query, queries_are_keys ? rows : count, loss.cosine);
  const Texts docs(context, 1, context.columns.size() - 1, 0, rows, loss.cosine);
  const View a = queries.x(begin - first_query), p = docs.x(begin);
  // Gradients of rows and of keys are apart, as contrastive wants them.
  const View da = ops.zeros(count, width), dk = ops.zeros(docs.count(), width);
  const View dp = docs_are_rows ? ops.zeros(count, width) : View{};
  const View dq = queries_are_keys ? ops.zeros(rows, width) : View{};
  const Masks masks(context, loss.mask_texts, loss.mask_labels);

  ContrastiveBlock query_to_doc = block_of(a, docs.x(), docs.count(), da, dk);
  masks.add(query_to_doc, 0, true, context);
  const bool hard = loss.hardness_mode == HardnessMode::kHardNegatives,
             all = loss.hardness_mode == HardnessMode::kAllNegatives;
  const auto strength = static_cast<float>(loss.hardness_strength);
  if (hard || all) query_to_doc.own_hardness = strength;
  if (all || loss.hardness_mode == HardnessMode::kInBatchNegatives) query_to_doc.other_hardness = strength;
  if (query_to_doc.own_hardness != query_to_doc.other_hardness)
    query_to_doc.own = masks.own_documents().upload(context);

  std::vector<ContrastiveBlock> blocks = {query_to_doc};
  std::optional<ContrastiveBlock> doc_to_query;
  if (loss.query_to_query) {
    ContrastiveBlock& block = blocks.emplace_back(block_of(a, queries.x(), rows, da, dq));
    block.masks[0] = masks.own_queries().upload(context);
    masks.add(block, 1, false, context);
  }
  if (loss.doc_to_query) {
    doc_to_query = block_of(p, queries.x(), rows, dp, dq);
    masks.add(*doc_to_query, 0, false, context);
    if (!loss.per_direction) blocks.push_back(*doc_to_query);
  }
  if (loss.doc_to_doc) {
    ContrastiveBlock& block = blocks.emplace_back(block_of(p, docs.x(), docs.count(), dp, dk));
    block.masks[0] = masks.own_documents().upload(context);
    masks.add(block, 1, true, context);
  }

  ContrastiveArgs args;
  args.scale = static_cast<float>(loss.learned_scale ? std::exp(context.log_scale) : loss.scale);
  set_margin(args, loss.false_negatives);
  const bool apart = loss.per_direction && doc_to_query;
  run_contrastive(context, blocks, args, apart ? 0.5 : 1, loss.learned_scale);
  if (apart) run_contrastive(context, {*doc_to_query}, args, 0.5, loss.learned_scale);

  if (docs_are_rows) ops.add(dp, docs.at(dk, begin), count, width);
  docs.finish(dk);
  if (queries_are_keys) ops.add(da, queries.at(dq, begin), count, width);
  queries.finish(queries_are_keys ? dq : da);
}

void add_loss(LossContext& context, const GISTEmbedLoss& loss) {
  LossOps& ops = context.ops;
  const int64_t rows = context.rows(), count = context.count(), begin = context.begin(), width = context.width;
  const int64_t guide_width = context.batch.guide_width;
  const Texts queries(context, 0, 1, 0, rows, true);
  const Texts docs(context, 1, context.columns.size() - 1, 0, rows, true);
  const View guide_queries = guide_texts(context, 0, 1),
             guide_docs = guide_texts(context, 1, context.columns.size() - 1);
  const View a = queries.x(begin), p = docs.x(begin);
  const View da = ops.zeros(count, width), dk = ops.zeros(docs.count(), width);
  const View dq = loss.contrast_anchors ? ops.zeros(rows, width) : View{};
  const View dp = loss.contrast_positives ? ops.zeros(count, width) : View{};
  const View dpk = loss.contrast_positives ? ops.zeros(rows, width) : View{};
  std::vector<ContrastiveBlock> blocks;
  const auto add = [&](View x, View k, int64_t keys, View dx, View dkeys, View guide_x, View guide_k) {
    ContrastiveBlock& block = blocks.emplace_back(block_of(x, k, keys, dx, dkeys));
    block.guide_a = docs.at(guide_x, begin).floats();
    block.guide_a_stride = guide_width;
    block.guide_k = guide_k.floats();
    block.guide_k_stride = guide_width;
  };
  add(a, docs.x(), docs.count(), da, dk, guide_queries, guide_docs);
  if (loss.contrast_anchors) add(a, queries.x(), rows, da, dq, guide_queries, guide_queries);
  if (loss.contrast_positives) add(p, docs.x(), rows, dp, dpk, guide_docs, guide_docs);
  ContrastiveArgs args;
  args.scale = static_cast<float>(1 / loss.temperature);
  args.guide_width = guide_width;
  args.relative_guide_margin = loss.margin.is_relative;
  args.guide_margin = static_cast<float>(loss.margin.value);
  run_contrastive(context, blocks, args, 1, false);

  if (loss.contrast_positives) {
    ops.add(dpk, dk, rows, width);
    ops.add(dp, docs.at(dk, begin), count, width);
  }
  docs.finish(dk);
  // Queries of other rows have gradients only as keys.
  const View all = loss.contrast_anchors ? dq : ops.zeros(rows, width);
  ops.add(da, queries.at(all, begin), count, width);
  queries.finish(all);
}

void add_loss(LossContext& context, const BatchTripletLoss& loss) {
  LossOps& ops = context.ops;
  const int64_t count = context.count(), width = context.width;
  const size_t columns = context.columns.size() > 1 ? 2 : 1;
  const int64_t rows = count * static_cast<int64_t>(columns);
  std::vector<int32_t> labels;
  for (size_t column = 0; column < columns; ++column)
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = context.begin() + i;
      labels.push_back(context.batch.groups.empty() ? static_cast<int32_t>(row)
                                                    : context.batch.groups[static_cast<size_t>(row)]);
    }
  const Texts texts(context, 0, columns, context.begin(), count, false);
  const View dx = ops.zeros(rows, width);
  auto* result = ops.layout().array<float>(1);
  ops.run(&Backend::triplet,
          {.mining = loss.mining,
           .distance = loss.distance,
           .x = texts.x().floats(),
           .x_stride = texts.x().stride,
           .rows = rows,
           .width = width,
           .labels = ops.upload(std::move(labels)),
           .margin = static_cast<float>(loss.margin),
           .soft_margin = loss.soft_margin,
           .weight = static_cast<float>(context.weight * context.share()),
           .dx = dx.floats(),
           .dx_stride = dx.stride,
           .loss = result},
          "triplets");
  texts.finish(dx);
  context.value += context.share() * ops.download(result, 1)[0];
}

}  // namespace embedcore
