#include "engine/queue.h"

#include <algorithm>
#include <new>

namespace embedcore {

void BatchWork::clear() {
  parts.clear();
  batch.clear();
  is_short = false;
}

bool BatchWork::wanted() const {
  return std::any_of(parts.begin(), parts.end(), [](const BatchPart& part) { return !part.call->failed(); });
}

bool BatchWork::take_from(const BatchWork& whole, BatchPlace& place, int64_t budget) {
  clear();
  is_short = whole.is_short;
  for (; place.part < whole.parts.size(); ++place.part, place.text = 0) {
    const BatchPart& from = whole.parts[place.part];
    for (bool begun = false; place.text < from.texts; ++place.text, begun = true) {
      const int64_t number = from.first_text + place.text;
      const auto text = static_cast<size_t>(number);
      const std::span<const int32_t> ids = from.piece->ids_of(number);
      const auto n = static_cast<int64_t>(ids.size());
      if (batch.texts() > 0 && (batch.tokens() + n > budget || batch.texts() >= budget)) return true;
      if (!begun) parts.push_back({.call = from.call, .piece = from.piece, .first_text = number, .texts = 0});
      batch.add(ids, from.piece->skip[text], from.piece->prefix[text]);
      ++parts.back().texts;
    }
  }
  return batch.texts() > 0;
}

CallQueue::CallQueue(int64_t most_batch_tokens, int64_t workers, int64_t most_waiting_tokens)
    : most_batch_tokens_(most_batch_tokens), workers_(workers), most_waiting_tokens_(most_waiting_tokens) {}

void CallQueue::add(const std::shared_ptr<Call>& call, const std::shared_ptr<Piece>& piece) {
  const int64_t tokens = piece->tokens();
  if (call->number_ == 0 && waiting_tokens_ > 0 && waiting_tokens_ + tokens > most_waiting_tokens_)
    fail(Code::kQueueFull, "%lld tokens wait already and this call has %lld; maxQueueTokens is %lld",
         static_cast<long long>(waiting_tokens_), static_cast<long long>(tokens),
         static_cast<long long>(most_waiting_tokens_));
  const bool waits = !call->waiting_.empty();
  call->waiting_.push_back(piece);
  if (!waits) {
    try {
      calls_.push_back(call);
    } catch (...) {
      call->waiting_.pop_back();
      throw;
    }
  }
  if (call->number_ == 0) call->number_ = ++calls_admitted_;
  if (waits && is_short(*call)) --short_calls_;
  call->submitted_tokens_ += tokens;
  if (is_short(*call)) ++short_calls_;
  waiting_tokens_ += tokens;
}

void CallQueue::forget(std::vector<std::shared_ptr<Call>>::iterator found) noexcept {
  Call& call = **found;
  for (const auto& piece : call.waiting_)
    waiting_tokens_ -= piece->tokens() - piece->offsets[static_cast<size_t>(piece->next_text)];
  call.waiting_.clear();
  if (is_short(call)) --short_calls_;
  calls_.erase(found);
}

void CallQueue::remove(const Call& call) noexcept {
  const auto found =
      std::find_if(calls_.begin(), calls_.end(), [&](const auto& other) { return other.get() == &call; });
  if (found != calls_.end()) forget(found);
}

std::vector<std::shared_ptr<Call>> CallQueue::remove_all() noexcept {
  for (const auto& call : calls_) call->waiting_.clear();
  waiting_tokens_ = short_calls_ = 0;
  std::vector<std::shared_ptr<Call>> all;
  all.swap(calls_);
  return all;
}

std::shared_ptr<Call> CallQueue::choose(bool only_short, bool oldest) const {
  std::shared_ptr<Call> best;
  for (const auto& call : calls_) {
    if (only_short && !is_short(*call)) continue;
    const bool better = !best || (oldest ? call->number_ < best->number_ : call->served_tokens_ < best->served_tokens_);
    if (better) best = call;
  }
  return best;
}

bool CallQueue::add_texts(BatchWork& work, const std::shared_ptr<Call>& call, int64_t budget) {
  for (const auto& piece : call->waiting_) {
    if (piece->next_text == piece->texts()) continue;
    work.parts.push_back({.call = call, .piece = piece, .first_text = piece->next_text, .texts = 0});
    BatchPart& part = work.parts.back();
    while (piece->next_text < piece->texts()) {
      const auto text = static_cast<size_t>(piece->next_text);
      const std::span<const int32_t> ids = piece->ids_of(piece->next_text);
      const auto n = static_cast<int64_t>(ids.size());
      const bool first = work.batch.texts() == 0;  // a text longer than the budget goes alone
      // Texts without tokens cost nothing, but the size of a batch must still be bounded.
      if (!first && (work.batch.tokens() + n > budget || work.batch.texts() >= budget)) {
        if (part.texts == 0) work.parts.pop_back();
        return false;
      }
      work.batch.add(ids, piece->skip[text], piece->prefix[text]);
      ++part.texts;
      ++piece->next_text;
      call->served_tokens_ += n;
      waiting_tokens_ -= n;
    }
  }
  return true;
}

void CallQueue::drop_if_served(const std::shared_ptr<Call>& call) noexcept {
  std::erase_if(call->waiting_, [](const auto& piece) { return piece->next_text == piece->texts(); });
  if (!call->waiting_.empty()) return;
  if (is_short(*call)) --short_calls_;
  calls_.erase(std::find(calls_.begin(), calls_.end(), call));
}

bool CallQueue::take(BatchWork& work, bool only_short, std::shared_ptr<Call>& failed) noexcept {
  work.clear();
  for (size_t i = 0; i < calls_.size();) {
    if (calls_[i]->failed())
      forget(calls_.begin() + static_cast<std::ptrdiff_t>(i));
    else
      ++i;
  }
  const std::shared_ptr<Call> first = choose(only_short, !only_short && batches_taken_ % 4 == 3);
  if (!first) return false;
  ++batches_taken_;
  work.is_short = is_short(*first);
  const int64_t share = (waiting_tokens_ + workers_ - 1) / workers_;
  const int64_t budget = std::clamp(share, std::min(kFewestBatchTokens, most_batch_tokens_), most_batch_tokens_);
  std::shared_ptr<Call> next = first;
  try {
    bool room = add_texts(work, first, budget);
    drop_if_served(first);
    for (size_t i = 0; i < calls_.size() && room && work.batch.tokens() < budget;) {
      next = calls_[i];
      const bool same_plan = next->plan_ == first->plan_ || *next->plan_ == *first->plan_;
      if (next != first && is_short(*next) == work.is_short && same_plan) {
        room = add_texts(work, next, budget);
        drop_if_served(next);
      }
      if (i < calls_.size() && calls_[i] == next) ++i;
    }
  } catch (const std::bad_alloc&) {
    // The batch so far is consistent and can run; the rest keeps waiting.
    while (!work.parts.empty() && work.parts.back().texts == 0) work.parts.pop_back();
    if (work.parts.empty()) {
      remove(*next);
      failed = std::move(next);
      return false;
    }
    drop_if_served(next);
  }
  return true;
}

}  // namespace embedcore
