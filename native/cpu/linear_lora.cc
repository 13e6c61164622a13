#include "cpu/linear_lora.h"

#include <cstring>

#include "cpu/dropout.h"
#include "cpu/panels.h"

namespace embedcore::cpu::EMBEDCORE_ISA {
namespace {

constexpr int64_t kNarrowRowBlock = 48;  // rows of a task of a narrow product
constexpr int64_t kRowsPerTask = 32;     // of converting

// Takes memory piece by piece; without memory it only counts.
class Pieces {
 public:
  explicit Pieces(void* memory = nullptr) : memory_(static_cast<std::byte*>(memory)) {}
  Word* words(int64_t count) {
    const size_t at = bytes_;
    bytes_ += static_cast<size_t>(round_up(count, 16)) * sizeof(Word);
    return memory_ ? reinterpret_cast<Word*>(memory_ + at) : nullptr;
  }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* memory_;
  size_t bytes_ = 0;
};

// One part: its block, and where its columns are. Those of the middles of all parts stand side by side, each from a
// whole vector on.
struct Part {
  const LoraPart* from;
  Word* block;  // panels of the block
  int64_t words, column, columns;
};

// The narrow product of neighbouring parts that have the same operand.
struct Narrow {
  int32_t begin, end;           // parts
  int64_t operand_word, words;  // of a row of the operand
  int64_t column, columns;      // of the middles
  Word* panels;
};

struct Plan {
  Part parts[kMostLoraParts];
  Narrow narrows[kMostLoraParts];
  int32_t count, narrow_count;
  DType dtype;
  int64_t rows, out, in;
  Word* middle;  // [rows, stride]
  int64_t middle_stride;
  Word* operand;  // [rows, operand_stride] of one narrow product that needs its own
  int64_t operand_stride;
};

Plan make_plan(const LoraPart* parts, int32_t count, const PackedLinear& weights, int64_t rows) {
  Plan plan{};
  plan.count = count;
  plan.dtype = weights.dtype == DType::kBF16 ? DType::kBF16 : DType::kF32;
  plan.rows = rows;
  plan.in = weights.in;
  plan.out = weights.out;
  int64_t column = 0;
  for (int32_t i = 0; i < count; ++i) {
    const int64_t columns = round_up(parts[i].rank, kWidth);
    plan.parts[i] = {parts + i, nullptr, divide_up(parts[i].rank, elements_per_word(plan.dtype)), column, columns};
    column += columns;
  }
  plan.middle_stride = column / elements_per_word(plan.dtype);
  return plan;
}

// The columns of a part's block, in whole panels of the layer.
Panels block_panels(const Part& part, const LoraBlock& block, int64_t layer_columns) {
  return {part.block, part.words, std::min(block.end_panel * kPanel, layer_columns) - block.first_panel * kPanel};
}

// Lays out the memory of a plan whose narrow products are known; blocks have their panels.
void lay_out(Plan& plan, LoraBlocks& blocks, int64_t layer_columns, Pieces&& pieces, size_t* bytes) {
  for (int32_t i = 0; i < plan.narrow_count; ++i)
    plan.narrows[i].panels = pieces.words(plan.narrows[i].words * plan.narrows[i].columns);
  for (int32_t i = 0; i < plan.count; ++i) {
    const int64_t columns = block_panels(plan.parts[i], blocks.list[i], layer_columns).columns;
    plan.parts[i].block = pieces.words(plan.parts[i].words * round_up(columns, kWidth));
  }
  plan.middle = pieces.words(plan.rows * plan.middle_stride);
  if (plan.operand_stride > 0) plan.operand = pieces.words(plan.rows * plan.operand_stride);
  *bytes = pieces.bytes();
}

bool allocate(Plan& plan, LoraBlocks& blocks, int64_t layer_columns) {
  size_t bytes = 0;
  lay_out(plan, blocks, layer_columns, Pieces(), &bytes);
  void* memory = thread_scratch(Scratch::kLora, bytes);
  if (!memory) return false;
  lay_out(plan, blocks, layer_columns, Pieces(memory), &bytes);
  blocks.count = plan.count;
  blocks.dtype = plan.dtype;
  for (int32_t i = 0; i < plan.count; ++i) {
    const Part& part = plan.parts[i];
    LoraBlock& block = blocks.list[i];
    block.a = plan.middle + part.column / elements_per_word(plan.dtype);
    block.a_stride = plan.middle_stride;
    block.b = block_panels(part, block, layer_columns);
  }
  return true;
}

// Packs the rows of a float matrix as columns of panels, from a column on that begins a vector.
void pack_as_columns(const Matrix& matrix, DType dtype, const Panels& panels, Word* first, int64_t begin,
                     int64_t columns, Word* scratch) {
  for (int64_t column = begin; column < begin + columns; column += kWidth) {
    const Panel panel = panel_at(panels, column / kPanel);
    Word* to = first + panel.column * panels.words + (column - panel.column);
    Matrix from = matrix;
    from.first -= begin;
    pack_columns(from, dtype, column, to, panel.vectors * kWidth, scratch);
  }
}

void pack_as_rows(const Matrix& matrix, DType dtype, const Panels& panels, Word* first) {
  for (int64_t index = 0; index < divide_up(panels.columns, kPanel); ++index) {
    const Panel panel = panel_at(panels, index);
    pack_rows(matrix, dtype, panel.column, panel.vectors, 0, panels.words, first + panel.column * panels.words);
  }
}

Panels narrow_panels(const Narrow& narrow) { return {narrow.panels, narrow.words, narrow.columns}; }

// Stores the middles of a tile as words of the blocks, and as floats where a part keeps them.
struct TakeMiddle {
  const Plan& plan;
  const Narrow& narrow;
  void operator()(const Panel& panel, int64_t row, int64_t rows, const Word* sums) const {
    const int64_t begin = narrow.column + panel.column, columns = panel.vectors * kWidth;
    for (int64_t r = 0; r < rows; ++r) {
      const auto* from = reinterpret_cast<const float*>(sums + r * kPanel);
      Word* to = plan.middle + (row + r) * plan.middle_stride;
      for (int64_t c = 0; c < columns; c += kWidth) {
        if (plan.dtype == DType::kBF16)
          store(reinterpret_cast<uint16_t*>(to) + begin + c, load(from + c));
        else
          store(reinterpret_cast<float*>(to) + begin + c, load(from + c));
      }
      for (int32_t i = narrow.begin; i < narrow.end; ++i) {
        const Part& part = plan.parts[i];
        const int64_t rank = part.from->rank, first = std::max(begin, part.column),
                      end = std::min(begin + columns, part.column + rank);
        if (!part.from->middle || first >= end) continue;
        std::memcpy(part.from->middle + (row + r) * rank + (first - part.column), from + (first - begin),
                    static_cast<size_t>(end - first) * sizeof(float));
      }
    }
  }
};

bool run_narrow(Stream& stream, const Plan& plan, const Narrow& narrow, const Operand& operand) {
  const TakeMiddle take{plan, narrow};
  return run_product(stream,
                     {.x = {operand.words + narrow.operand_word, operand.stride, nullptr},
                      .rows = plan.rows,
                      .dtype = plan.dtype,
                      .matrix = narrow_panels(narrow),
                      .take = [](const void* taker, const Panel& panel, int64_t row, int64_t rows,
                                 Word* sums) { (*static_cast<const TakeMiddle*>(taker))(panel, row, rows, sums); },
                      .taker = &take,
                      .row_block = kNarrowRowBlock});
}

// Rows of x as words of float32 or bfloat16, after dropout.
template <typename Element, typename To>
void convert_row(const Element* x, int64_t n, const Dropout& dropout, int64_t row, To* to) {
  constexpr int64_t kPiece = 512;
  uint16_t numbers[kPiece];
  const Dropped dropped(dropout);
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    const int64_t end = std::min(n, begin + kPiece);
    if (dropout.rate > 0) dropout_numbers(dropout, dropout.rows + row, 1, begin, end - begin, numbers);
    for (int64_t k = begin; k < end; k += kWidth) {
      const Vec value = load_upto(x + k, n - k);
      store_upto(to + k, dropout.rate > 0 ? dropped(value, numbers + (k - begin)) : value, n - k);
    }
  }
}

void convert_rows(Stream& stream, const LinearArgs& args, const Dropout& dropout, const Plan& plan) {
  run_tasks(stream, divide_up(plan.rows, kRowsPerTask), [&](int64_t task) {
    for (int64_t row = task * kRowsPerTask; row < std::min(plan.rows, (task + 1) * kRowsPerTask); ++row) {
      Word* const to = plan.operand + row * plan.operand_stride;
      to[divide_up(plan.in, elements_per_word(plan.dtype)) - 1] = 0;  // whose second half may be missing
      const auto convert = [&](const auto* x) {
        if (plan.dtype == DType::kBF16)
          convert_row(x, plan.in, dropout, row, reinterpret_cast<uint16_t*>(to));
        else
          convert_row(x, plan.in, dropout, row, reinterpret_cast<float*>(to));
      };
      if (args.x_dtype == DType::kBF16)
        convert(static_cast<const uint16_t*>(args.x) + row * args.x_stride);
      else
        convert(static_cast<const float*>(args.x) + row * args.x_stride);
    }
  });
}

// Runs pack(part, whether the narrow matrix or the block, scratch) for both matrices of each part.
template <typename Pack>
bool pack_all(Stream& stream, const Plan& plan, int64_t most_columns, Pack&& pack) {
  bool out_of_memory = false;
  run_tasks(stream, 2 * plan.count, [&](int64_t task) {
    const auto words = static_cast<size_t>((kWidth + 1) * most_columns);
    auto* scratch = static_cast<Word*>(thread_scratch(Scratch::kTask, words * sizeof(Word)));
    if (scratch)
      pack(static_cast<int32_t>(task / 2), task % 2 == 0, scratch);
    else
      __atomic_store_n(&out_of_memory, true, __ATOMIC_RELAXED);
  });
  return !out_of_memory;
}

}  // namespace

bool prepare_lora(Stream& stream, const LinearArgs& args, const Operand& x, LoraBlocks& blocks) {
  const PackedLinear& weights = *args.weights;
  Plan plan = make_plan(args.lora, args.lora_parts, weights, args.rows);
  const int64_t words = divide_up(plan.in, elements_per_word(plan.dtype));
  const bool converts = weights.dtype == DType::kI8 && args.x_dtype != DType::kF32;
  int64_t most_rank = 0;
  for (int32_t i = 0; i < plan.count; ++i) {
    const LoraPart& part = args.lora[i];
    const bool drops = part.dropout.rate > 0;
    most_rank = std::max(most_rank, part.rank);
    blocks.list[i] = {};
    blocks.list[i].first_panel = part.first / kPanel;
    blocks.list[i].end_panel = divide_up(part.first + part.count, kPanel);
    if (drops || converts) plan.operand_stride = round_up(words, kWidth);
    Narrow* last = plan.narrow_count > 0 ? plan.narrows + plan.narrow_count - 1 : nullptr;
    if (last && !drops && args.lora[i - 1].dropout.rate == 0) {
      last->end = i + 1;
      last->columns += plan.parts[i].columns;
    } else {
      plan.narrows[plan.narrow_count++] = {i, i + 1, 0, words, plan.parts[i].column, plan.parts[i].columns, nullptr};
    }
  }
  if (!allocate(plan, blocks, plan.out)) return false;
  const auto pack = [&](int32_t index, bool narrow_one, Word* scratch) {
    const Part& part = plan.parts[index];
    const LoraPart& from = *part.from;
    if (narrow_one) {
      const Narrow* narrow = plan.narrows;
      while (narrow->end <= index) ++narrow;
      pack_as_columns({from.a, DType::kF32, plan.in, from.rank, plan.in}, plan.dtype, narrow_panels(*narrow),
                      narrow->panels, part.column - narrow->column, part.columns, scratch);
    } else {
      const LoraBlock& block = blocks.list[index];
      pack_as_columns(
          {from.b, DType::kF32, from.rank, from.count, from.rank, from.scale, block.first_panel * kPanel - from.first},
          plan.dtype, block.b, part.block, 0, block.b.columns, scratch);
    }
  };
  if (!pack_all(stream, plan, std::max(words, most_rank), pack)) return false;
  for (int32_t i = 0; i < plan.narrow_count; ++i) {
    const Narrow& narrow = plan.narrows[i];
    const Dropout& dropout = args.lora[narrow.begin].dropout;
    Operand operand = x;
    if (dropout.rate > 0 || converts) {
      convert_rows(stream, args, dropout, plan);
      operand = {plan.operand, plan.operand_stride, nullptr};
    } else if (weights.dtype == DType::kI8) {
      operand = {static_cast<const Word*>(args.x), args.x_stride, nullptr};
    }
    if (!run_narrow(stream, plan, narrow, operand)) return false;
  }
  return true;
}

bool prepare_lora(Stream& stream, const LinearInputGradientArgs& args, const Operand& dz, LoraBlocks& blocks) {
  Plan plan = make_plan(args.lora, args.lora_parts, *args.weights, args.rows);
  const int64_t per_word = elements_per_word(plan.dtype);
  for (int32_t i = 0; i < plan.count; ++i) {
    const LoraPart& part = args.lora[i];
    blocks.list[i] = {};
    blocks.list[i].end_panel = divide_up(plan.in, kPanel);
    if (part.dropout.rate > 0) blocks.list[i].dropout = &part.dropout;
    // A pair of columns may be cut by the part's first one; B has a row of zeros for what is before it.
    const int64_t begin = part.first / per_word, end = divide_up(part.first + part.count, per_word);
    plan.narrows[i] = {i, i + 1, begin, end - begin, plan.parts[i].column, plan.parts[i].columns, nullptr};
  }
  plan.narrow_count = plan.count;
  if (!allocate(plan, blocks, plan.in)) return false;
  const auto pack = [&](int32_t index, bool narrow_one, Word*) {
    const LoraPart& from = *plan.parts[index].from;
    const Narrow& narrow = plan.narrows[index];
    if (narrow_one)
      pack_as_rows({from.b, DType::kF32, from.rank, from.count, from.rank, from.scale,
                    narrow.operand_word * per_word - from.first},
                   plan.dtype, narrow_panels(narrow), narrow.panels);
    else
      pack_as_rows({from.a, DType::kF32, plan.in, from.rank, plan.in}, plan.dtype, blocks.list[index].b,
                   plan.parts[index].block);
  };
  if (!pack_all(stream, plan, 1, pack)) return false;
  for (int32_t i = 0; i < plan.count; ++i)
    if (!run_narrow(stream, plan, plan.narrows[i], dz)) return false;
  return true;
}

void add_lora(const LoraBlocks& blocks, const Panel& panel, int64_t row, int64_t rows, Word* sums) {
  const int64_t index = panel.column / kPanel;
  for (int32_t i = 0; i < blocks.count; ++i) {
    const LoraBlock& block = blocks.list[i];
    if (index < block.first_panel || index >= block.end_panel) continue;
    const Panel b = panel_at(block.b, index - block.first_panel);
    const Word* a = block.a + row * block.a_stride;
    if (!block.dropout) {
      multiply_tile(blocks.dtype, rows, b.vectors, a, block.a_stride, b.weights, block.b.words, false, sums);
      continue;
    }
    alignas(64) Word own[kTileRows * kPanel];
    uint16_t numbers[kTileRows * kPanel + kNumbersAtOnce];
    multiply_tile(blocks.dtype, rows, b.vectors, a, block.a_stride, b.weights, block.b.words, true, own);
    const int64_t columns = b.vectors * kWidth;
    dropout_numbers(*block.dropout, block.dropout->rows + row, rows, panel.column, columns, numbers);
    const Dropped dropped(*block.dropout);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; c += kWidth) {
        auto* sum = reinterpret_cast<float*>(sums + r * kPanel) + c;
        const Vec part = load(reinterpret_cast<const float*>(own + r * kPanel) + c);
        store(sum, load(sum) + dropped(part, numbers + r * round_up(columns, kCounterNumbers) + c));
      }
    }
  }
}

}  // namespace embedcore::cpu::EMBEDCORE_ISA
