// The moving average of the weights in their place (train/trainer.h): what is encoded is that of the average, and the
// last weights come back with the same bits.
#include <cstring>

#include "trainer_support.h"

namespace embedcore::test {
namespace {

class TrainAverage : public OpTest {};
EMBEDCORE_EVERY_BACKEND(TrainAverage);

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<float> encoded(Trainer& trainer, OpenStream& stream, const StepTexts& texts) {
  std::vector<float> rows(static_cast<size_t>(texts.count() * trainer.dimension()));
  trainer.encode(stream, texts, rows.data(), {});
  return rows;
}

void expect_code(Code code, const std::function<void()>& body) {
  try {
    body();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code, code) << error.what();
  }
}

TEST_P(TrainAverage, IsPutInTheirPlaceAndTakenOutAgain) {
  if (!backend().adamw) GTEST_SKIP() << backend().name << " does not train";
  const std::vector<LossSpec> losses = {{.parameters = MultipleNegativesRankingLoss{}, .name = ""}};
  const auto trainer = make_trainer(backend(), "bert", losses, {.seed = 7});
  trainer->set_optimizer({}, {}, {.average_decay = 0.5});
  TeamStream stream(trainer->weights().shared_device());
  for (uint64_t step = 0; step < 3; ++step) {
    trainer->accumulate(stream, make_step(5, step), {});
    trainer->update(stream, 0.01, 1);
  }
  // A weight of negative zero, which copies by arithmetic would lose.
  const Parameters& values = trainer->weights().values();
  const float negative = -0.0f;
  ASSERT_EQ(backend().upload(stream, values.data() + 3, &negative, sizeof negative), kOk);
  stream.wait();
  const auto states = [&] {
    std::vector<std::vector<float>> all;
    for (const Optimizer::Block& block : trainer->optimizer().blocks())
      for (const Parameters* one :
           {block.trained.values, static_cast<const Parameters*>(block.first.get()),
            static_cast<const Parameters*>(block.second.get()), static_cast<const Parameters*>(block.average.get())})
        all.push_back(download(stream, *one));
    return all;
  };
  const auto before = states();
  const StepTexts texts = make_step(4).texts;
  trainer->follow_values(stream);
  const std::vector<float> last = encoded(*trainer, stream, texts);

  trainer->use_average(stream, true);
  trainer->use_average(stream, true);
  const auto within = states();
  for (size_t block = 0; block < 2; ++block) {
    EXPECT_TRUE(same_bits(within[4 * block], before[4 * block + 3]));
    EXPECT_TRUE(same_bits(within[4 * block + 3], before[4 * block]));
    EXPECT_FALSE(same_bits(within[4 * block], before[4 * block]));
  }
  const std::vector<float> averaged = encoded(*trainer, stream, texts);
  EXPECT_FALSE(same_bits(averaged, last));
  expect_code(Code::kInternal, [&] { trainer->accumulate(stream, make_step(5), {}); });
  expect_code(Code::kInternal, [&] { trainer->update(stream, 0.01, 1); });

  trainer->use_average(stream, false);
  const auto after = states();
  for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(same_bits(after[i], before[i])) << i;
  EXPECT_TRUE(same_bits(encoded(*trainer, stream, texts), last));
}

TEST_P(TrainAverage, IsRefusedWhereThereIsNone) {
  if (!backend().adamw) GTEST_SKIP() << backend().name << " does not train";
  const auto trainer =
      make_trainer(backend(), "bert", {{.parameters = MultipleNegativesRankingLoss{}, .name = ""}}, {});
  TeamStream stream(trainer->weights().shared_device());
  expect_code(Code::kInvalidOption, [&] { trainer->use_average(stream, true); });
}

}  // namespace
}  // namespace embedcore::test
