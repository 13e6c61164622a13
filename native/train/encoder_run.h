// One group of texts on its way through EncoderPass, shared by the sources of its two halves.
#pragma once

#include "train/encoder_pass.h"

namespace embedcore {

constexpr uint32_t kEmbeddingSite = 0;  // of dropout; those of the layers follow

// One group under way: its stream, its slab's kept rows, and its place in them.
struct EncoderPass::GroupRun {
  Stream& stream;
  const Slab& slab;
  const Group& group;
  const KeptSlab& kept;
  DropoutOfPass dropout;

  int64_t row() const { return group.first_row; }
  int64_t tokens() const { return group.batch.tokens; }
  View rows(const View& view) const { return view.data ? view.from_row(group.first_row) : View{}; }
  View text_rows(const View& view) const { return view.from_row(slab.first_text + group.first_text); }
  const DropoutOfPass* dropped() const { return kept.dropout ? &dropout : nullptr; }
};

template <typename Body>
void EncoderPass::with_layer(const GroupRun& run, size_t layer, Body&& body) const {
  const ModelConfig& config = weights_.config();
  const LayerSpec& spec = config.layers[layer];
  const TrainedLayer& trained = weights_.layers()[layer];
  const KeptLayer kept = layer_of(run.kept, layer);
  const auto rope = weights_.rope(layer) ? weights_.rope(layer)->at_least(run.group.batch.longest) : nullptr;
  run.group.batch.keep(rope);
  const LayerAdapter adapter = group_adapter(spec, trained, kept, run.row(), run.dropped(), sites_[layer]);
  const LayerCall call{.backend = backend_,
                       .stream = run.stream,
                       .batch = run.group.batch,
                       .hidden = config.hidden,
                       .mask = plan_.forward.layers[layer].mask,
                       .window = plan_.forward.layers[layer].window,
                       .rope = rope.get(),
                       .bias = relative_ ? relative_->bias.data() : nullptr,
                       .bias_reach = relative_ ? relative_->reach : 0,
                       .adapter = &adapter,
                       .dropout = run.dropped(),
                       .site = sites_[layer]};
  body(call, spec, trained, group_activations(spec, kept, scratch_, layer_input(run.kept, layer), run.row()));
}

}  // namespace embedcore
