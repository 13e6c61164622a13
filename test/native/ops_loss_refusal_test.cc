// ops/checks_losses.cc on every backend: arguments against the contracts are refused with a sentence, and nothing is
// written.
#include "gradient_check.h"
#include "ops/contrastive.h"
#include "ops/pairs.h"
#include "ops/triplet.h"

namespace embedcore::test {
namespace {

class LossRefusalTest : public OpTest {
 protected:
  template <typename Args>
  using Change = std::function<void(Args&)>;

  template <typename Args>
  void expect_refused(Status (*operation)(Stream&, const Args&), const std::function<Args(OpCall&)>& valid,
                      const std::vector<std::pair<Change<Args>, std::string>>& changes) {
    {
      OpCall call(backend());
      EXPECT_EQ(call.attempt(operation, valid(call)), kOk) << call.message();
    }
    for (const auto& [change, sentence] : changes) {
      SCOPED_TRACE(sentence);
      OpCall call(backend());
      Args args = valid(call);
      const Rows before = y_, result = out_;
      change(args);
      EXPECT_EQ(call.attempt(operation, args), kBadArgument);
      EXPECT_EQ(call.message(), sentence);
      expect_same_bits(y_, before);
      expect_same_bits(out_, result);
    }
  }

  Rows x_ = std::move(Rows(3, 4).each([](float) { return 0.5f; }));
  Rows y_ = std::move(Rows(3, 4).each([](float) { return 0.25f; }));
  Rows out_ = std::move(Rows(1, 3).each([](float) { return 0.0f; }));
  std::vector<int32_t> numbers_ = {0, 1, 0};
};
EMBEDCORE_EVERY_BACKEND(LossRefusalTest);

TEST_P(LossRefusalTest, Contrastive) {
  EMBEDCORE_NEEDS(contrastive);
  ContrastiveBlock blocks[kMostContrastiveBlocks + 1];
  const auto valid = [&](OpCall& call) {
    for (ContrastiveBlock& block : blocks) {
      block = {.a = call.in(x_), .a_stride = 4, .k = call.in(x_), .k_stride = 4, .keys = 3, .masks = {}, .own = {}};
      block.dk = call.out(y_);
      block.dk_stride = 4;
      block.guide_a = block.guide_k = call.in(x_);
      block.guide_a_stride = block.guide_k_stride = 4;
      block.masks[1] = block.own = {call.in(numbers_), call.in(numbers_)};
      block.own_hardness = 1;
    }
    return ContrastiveArgs{.blocks = blocks,
                           .count = 2,
                           .rows = 3,
                           .width = 4,
                           .positive = call.in(numbers_),
                           .guide_width = 4,
                           .loss = call.out(out_)};
  };
  expect_refused<ContrastiveArgs>(
      backend().contrastive, valid,
      {
          {[](auto& a) { a.count = 0; }, "Expected 1 to 4 blocks for contrastive but received 0"},
          {[](auto& a) { a.count = 5; }, "Expected 1 to 4 blocks for contrastive but received 5"},
          {[](auto& a) { a.blocks = nullptr; }, "Expected memory for the blocks of contrastive but received null"},
          {[](auto& a) { a.rows = -1; }, "Expected at least 0 for rows of contrastive but received -1"},
          {[](auto& a) { a.width = -1; }, "Expected at least 0 for the width of contrastive but received -1"},
          {[](auto& a) { a.scale = 0; }, "Expected a scale above 0 for contrastive but received 0"},
          {[](auto& a) { a.scale = std::numeric_limits<float>::quiet_NaN(); },
           "Expected a scale above 0 for contrastive but received nan"},
          {[](auto& a) { a.positive = nullptr; }, "Expected memory for the positives of contrastive but received null"},
          {[](auto& a) { a.loss = nullptr; }, "Expected memory for the loss of contrastive but received null"},
          {[](auto& a) { a.guide_width = -2; },
           "Expected at least 0 for the guide's width of contrastive but received -2"},
          {[&](auto&) { blocks[0].keys = 0; },
           "Expected at least 1 for the keys of block 0 of contrastive but received 0"},
          {[&](auto&) { blocks[1].keys = -1; },
           "Expected at least 0 for the keys of a block of contrastive but received -1"},
          {[&](auto&) { blocks[1].a = nullptr; }, "Expected memory for a of contrastive but received null"},
          {[&](auto&) { blocks[0].k_stride = 3; },
           "Expected a stride of at least 4 for k of contrastive but received 3"},
          {[&](auto&) { blocks[0].dk_stride = 2; },
           "Expected a stride of at least 4 for dk of contrastive but received 2"},
          {[&](auto&) {
             blocks[0].da = blocks[0].dk;
             blocks[0].da_stride = 1;
           },
           "Expected a stride of at least 4 for da of contrastive but received 1"},
          {[&](auto&) { blocks[1].keys = 2; },
           "Expected blocks of contrastive with the same dk to have as many keys but received 3 and 2"},
          {[&](auto&) { blocks[1].masks[1].rows = nullptr; },
           "Expected a mask of contrastive for its rows and its keys but received one of them"},
          {[&](auto&) { blocks[0].own.keys = nullptr; },
           "Expected the own keys of contrastive for its rows and its keys but received one of them"},
          {[&](auto&) { blocks[0].own = {}; },
           "Expected the own keys of contrastive for its rows and its keys but received none"},
          {[&](auto&) { blocks[0].other_hardness = -1; },
           "Expected a hardness of at least 0 for contrastive but received -1"},
          {[&](auto&) { blocks[0].guide_a = nullptr; },
           "Expected the guide of contrastive for its rows and its keys but received one of them"},
          {[&](auto&) { blocks[0].guide_a = blocks[0].guide_k = nullptr; },
           "Expected a guide for block 0 of contrastive, which another block has, but received none"},
          {[&](auto&) { blocks[1].guide_k_stride = 0; },
           "Expected a stride of at least 4 for k of the guide of contrastive but received 0"},
      });
}

TEST_P(LossRefusalTest, Triplet) {
  EMBEDCORE_NEEDS(triplet);
  const auto valid = [&](OpCall& call) {
    return TripletArgs{.x = call.in(x_),
                       .x_stride = 4,
                       .rows = 3,
                       .width = 4,
                       .labels = call.in(numbers_),
                       .dx = call.out(y_),
                       .dx_stride = 4,
                       .loss = call.out(out_)};
  };
  expect_refused<TripletArgs>(
      backend().triplet, valid,
      {
          {[](auto& a) { a.mining = static_cast<TripletMining>(3); },
           "Expected 0 to 2 for the mining of triplet but received 3"},
          {[](auto& a) { a.distance = static_cast<Distance>(-1); },
           "Expected 0 to 1 for the distance of triplet but received -1"},
          {[](auto& a) { a.rows = -1; }, "Expected at least 0 for rows of triplet but received -1"},
          {[](auto& a) { a.width = -1; }, "Expected at least 0 for the width of triplet but received -1"},
          {[](auto& a) {
             a.mining = TripletMining::kSemiHard;
             a.soft_margin = true;
           },
           "Expected no soft margin for triplet with mining 2, only with 0 (batch-hard)"},
          {[](auto& a) { a.x = nullptr; }, "Expected memory for x of triplet but received null"},
          {[](auto& a) { a.dx_stride = 3; }, "Expected a stride of at least 4 for dx of triplet but received 3"},
          {[](auto& a) { a.labels = nullptr; }, "Expected memory for the labels of triplet but received null"},
          {[](auto& a) { a.loss = nullptr; }, "Expected memory for the loss of triplet but received null"},
      });
}

TEST_P(LossRefusalTest, Pairs) {
  EMBEDCORE_NEEDS(pair_scores);
  expect_refused<PairScoresArgs>(
      backend().pair_scores,
      [&](OpCall& call) {
        return PairScoresArgs{.a = call.in(x_),
                              .a_stride = 4,
                              .b = call.in(x_),
                              .b_stride = 4,
                              .rows = 3,
                              .width = 4,
                              .scores = call.out(out_)};
      },
      {
          {[](auto& a) { a.kind = static_cast<PairScore>(5); },
           "Expected 0 to 4 for the kind of pair_scores but received 5"},
          {[](auto& a) { a.rows = -1; }, "Expected at least 0 for rows of pair_scores but received -1"},
          {[](auto& a) { a.width = -1; }, "Expected at least 0 for the width of pair_scores but received -1"},
          {[](auto& a) { a.a = nullptr; }, "Expected memory for a of pair_scores but received null"},
          {[](auto& a) { a.b_stride = 1; }, "Expected a stride of at least 4 for b of pair_scores but received 1"},
          {[](auto& a) { a.scores = nullptr; }, "Expected memory for the scores of pair_scores but received null"},
      });
  expect_refused<PairGradientArgs>(
      backend().pair_gradient,
      [&](OpCall& call) {
        return PairGradientArgs{.a = call.in(x_),
                                .a_stride = 4,
                                .b = call.in(x_),
                                .b_stride = 4,
                                .rows = 3,
                                .width = 4,
                                .dscores = call.in(x_),
                                .da = call.out(y_),
                                .da_stride = 4};
      },
      {
          {[](auto& a) { a.kind = static_cast<PairScore>(-1); },
           "Expected 0 to 4 for the kind of pair_gradient but received -1"},
          {[](auto& a) { a.b = nullptr; }, "Expected memory for b of pair_gradient but received null"},
          {[](auto& a) { a.dscores = nullptr; },
           "Expected memory for the gradients of the scores of pair_gradient but received null"},
          {[](auto& a) { a.da_stride = 3; }, "Expected a stride of at least 4 for da of pair_gradient but received 3"},
          {[](auto& a) {
             a.db = a.da;
             a.db_stride = 2;
           },
           "Expected a stride of at least 4 for db of pair_gradient but received 2"},
      });
  expect_refused<SquaredErrorArgs>(
      backend().squared_error,
      [&](OpCall& call) {
        return SquaredErrorArgs{.x = call.in(x_),
                                .x_stride = 4,
                                .target = call.in(x_),
                                .target_stride = 4,
                                .rows = 3,
                                .width = 4,
                                .loss = call.out(out_),
                                .dx = call.out(y_),
                                .dx_stride = 4};
      },
      {
          {[](auto& a) { a.rows = -1; }, "Expected at least 0 for rows of squared_error but received -1"},
          {[](auto& a) { a.target = nullptr; }, "Expected memory for the target of squared_error but received null"},
          {[](auto& a) { a.loss = nullptr; }, "Expected memory for the loss of squared_error but received null"},
          {[](auto& a) { a.dx_stride = 0; }, "Expected a stride of at least 4 for dx of squared_error but received 0"},
      });
}

}  // namespace
}  // namespace embedcore::test
