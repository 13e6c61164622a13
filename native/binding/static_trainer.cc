#include "binding/static_trainer.h"

#include <cinttypes>

#include "binding/backends.h"
#include "binding/convert.h"
#include "binding/static_vectors.h"

namespace embedcore {

namespace {

double get_number(Napi::Object from, const char* key) {
  const Napi::Value value = from.Get(key);
  if (!value.IsNumber()) fail(Code::kInternal, "\"%s\" must be a number", key);
  return value.As<Napi::Number>().DoubleValue();
}

StaticTrainerOptions to_options(Napi::Object from) {
  StaticTrainerOptions options;
  options.corpus.scratch = get_string(from, "scratch");
  options.corpus.max_words = get_int(from, "maxVocabSize");
  options.corpus.skip_invalid = get_bool(from, "skipInvalid");
  options.phrase_passes = static_cast<int>(get_int(from, "phrasePasses"));
  options.phrases.min_count = get_int(from, "phraseMinCount");
  options.phrases.threshold = get_number(from, "phraseThreshold");
  options.phrases.npmi = get_bool(from, "phraseNpmi");
  options.phrases.delimiter = get_string(from, "phraseDelimiter");
  options.min_count = get_int(from, "minCount");
  options.max_final_words = get_int(from, "maxFinalVocab");
  options.dimension = get_int(from, "vectorSize");
  options.window = get_int(from, "window");
  options.epochs = get_int(from, "epochs");
  options.negative = get_int(from, "negative");
  options.skip_gram = get_bool(from, "sg");
  options.cbow_mean = get_bool(from, "cbowMean");
  options.exact_cbow = get_bool(from, "exactCbow");
  options.shrink_windows = get_bool(from, "shrinkWindows");
  options.rate = get_number(from, "alpha");
  options.least_rate = get_number(from, "minAlpha");
  options.sample = get_number(from, "sample");
  options.exponent = get_number(from, "nsExponent");
  options.longest_sentence = get_int(from, "maxSentenceLength");
  options.rule = {get_int(from, "minN"), get_int(from, "maxN"), get_int(from, "bucket")};
  options.seed = static_cast<uint64_t>(get_int(from, "seed"));
  options.threads = static_cast<int>(get_int(from, "threads"));
  return options;
}

Napi::Value to_object(Napi::Env env, const StaticProgress& progress) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("block", Napi::Number::New(env, static_cast<double>(progress.block)));
  object.Set("blocks", Napi::Number::New(env, static_cast<double>(progress.blocks)));
  object.Set("tokens", Napi::Number::New(env, static_cast<double>(progress.tokens)));
  object.Set("alpha", Napi::Number::New(env, progress.rate));
  object.Set("loss", Napi::Number::New(env, progress.loss));
  return object;
}

Napi::Value to_summary(Napi::Env env, const StaticTrainer& trainer) {
  Napi::Object object = Napi::Object::New(env);
  const auto set = [&](const char* key, int64_t value) {
    object.Set(key, Napi::Number::New(env, static_cast<double>(value)));
  };
  set("corpusTokens", trainer.corpus().total);
  set("sentences", trainer.corpus().sentences);
  set("invalidTokens", trainer.corpus().invalid);
  set("forgottenWords", trainer.corpus().forgotten);
  set("phrases", trainer.phrases());
  set("words", trainer.vectors().words.size());
  set("minCount", trainer.effective_min_count());
  set("tokens", trainer.kept_tokens());
  set("blocks", trainer.progress().blocks);
  char hash[17];
  std::snprintf(hash, sizeof hash, "%016" PRIx64, trainer.corpus_hash());
  object.Set("corpusHash", hash);
  return object;
}

void keep_going(const StaticTrainer::Wanted& wanted) {
  if (!wanted()) fail(Code::kAborted, "the call was aborted");
}

}  // namespace

Napi::Function StaticTrainerHandle::define(Napi::Env env) {
  using Self = StaticTrainerHandle;
  return DefineClass(env, "StaticTrainer",
                     {InstanceMethod<&Self::add>("add"), InstanceMethod<&Self::prepare>("prepare"),
                      InstanceMethod<&Self::train>("train"), InstanceMethod<&Self::write_state>("writeState"),
                      InstanceMethod<&Self::read_state>("readState"), InstanceMethod<&Self::vectors>("vectors"),
                      InstanceMethod<&Self::abort>("abort"), InstanceMethod<&Self::dispose>("dispose")});
}

Napi::Value StaticTrainerHandle::open(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Environment& environment = Environment::of(info.Env());
    auto state = std::make_shared<StaticTrainerState>(to_options(info[0].As<Napi::Object>()), chosen_word_kernels());
    const Napi::Object object = environment.static_trainer_class.New({});
    StaticTrainerHandle* handle = StaticTrainerHandle::Unwrap(object);
    environment.static_trainers.insert(handle);
    handle->environment_ = &environment;
    handle->state_ = std::move(state);
    return object;
  });
}

StaticTrainerHandle::~StaticTrainerHandle() {
  release();
  if (environment_) environment_->static_trainers.erase(this);
}

void StaticTrainerHandle::detach() {
  if (state_) state_->aborted = true;
  if (const auto job = job_.lock()) job->end(shared_error(Code::kAborted, "the JavaScript environment has ended"));
  environment_ = nullptr;
  release();
}

// The memory is freed on another thread, after the call under way.
void StaticTrainerHandle::release() noexcept {
  if (!state_) return;
  state_->aborted = true;
  let_go(std::move(state_));
  state_ = nullptr;
}

StaticTrainerState& StaticTrainerHandle::state() const {
  if (!state_) fail(Code::kDisposed, "the trainer was disposed");
  return *state_;
}

void StaticTrainerHandle::start(Napi::Value done, Napi::Object kept, int threads, Work work) {
  const std::shared_ptr<StaticTrainerState> held = (state(), state_);
  if (held->busy.exchange(true)) fail(Code::kInternal, "the trainer is busy with another call");
  std::shared_ptr<OpenCall> call;
  try {
    call = environment_->begin_call(Env(), done.As<Napi::Function>(), kept);
    const auto result = std::make_shared<MakeResult>();
    job_ = environment_->start_team(
        threads,
        [held, work = std::move(work), result](const Stream& team, const std::function<void()>& give_way) {
          *result = work(held->trainer, team, [&] {
            give_way();
            return !held->aborted.load();
          });
        },
        [held, call, result](std::shared_ptr<const Error> error) {
          held->busy = false;
          call->settle(std::move(error), std::move(*result));
        });
  } catch (...) {
    held->busy = false;
    if (!call) throw;
    call->settle(current_error());
  }
}

void StaticTrainerHandle::add(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    if (!info[0].IsTypedArray()) fail(Code::kInternal, "text must be bytes");
    const auto array = info[0].As<Napi::TypedArray>();
    const std::string_view text(static_cast<const char*>(array.ArrayBuffer().Data()) + array.ByteOffset(),
                                array.ByteLength());
    Napi::Object kept = Napi::Object::New(info.Env());
    kept.Set("text", array);
    start(info[1], kept, 1, [text](StaticTrainer& trainer, const Stream&, const StaticTrainer::Wanted& wanted) {
      keep_going(wanted);
      trainer.reader().add(text);
      const int64_t tokens = trainer.reader().total(), words = trainer.reader().words();
      return [tokens, words](Napi::Env env, PendingCall&) -> Napi::Value {
        Napi::Object object = Napi::Object::New(env);
        object.Set("tokens", Napi::Number::New(env, static_cast<double>(tokens)));
        object.Set("words", Napi::Number::New(env, static_cast<double>(words)));
        return object;
      };
    });
  });
}

void StaticTrainerHandle::prepare(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    start(info[0], Napi::Object::New(info.Env()), 1,
          [](StaticTrainer& trainer, const Stream&, const StaticTrainer::Wanted& wanted) {
            trainer.prepare(wanted);
            return [&trainer](Napi::Env env, PendingCall&) { return to_summary(env, trainer); };
          });
  });
}

void StaticTrainerHandle::train(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const double seconds = info[0].ToNumber().DoubleValue();
    start(info[1], info.This().As<Napi::Object>(), state().threads,
          [seconds](StaticTrainer& trainer, const Stream& team, const StaticTrainer::Wanted& wanted) {
            const StaticProgress progress = trainer.train(team, seconds, wanted);
            return [progress](Napi::Env env, PendingCall&) { return to_object(env, progress); };
          });
  });
}

void StaticTrainerHandle::write_state(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    std::map<std::string, std::string> metadata;
    const auto from = info[1].As<Napi::Object>();
    const Napi::Array names = from.GetPropertyNames();
    for (uint32_t i = 0; i < names.Length(); ++i) {
      const std::string name = names.Get(i).ToString().Utf8Value();
      metadata[name] = get_string(from, name.c_str());
    }
    start(info[2], Napi::Object::New(info.Env()), 1,
          [path = info[0].ToString().Utf8Value(), metadata](StaticTrainer& trainer, const Stream&,
                                                            const StaticTrainer::Wanted&) -> MakeResult {
            trainer.write_state(path, metadata);
            return {};
          });
  });
}

void StaticTrainerHandle::read_state(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    start(info[2], Napi::Object::New(info.Env()), 1,
          [path = info[0].ToString().Utf8Value(), block = info[1].ToNumber().Int64Value()](
              StaticTrainer& trainer, const Stream&, const StaticTrainer::Wanted&) -> MakeResult {
            trainer.read_state(path, block);
            return [&trainer](Napi::Env env, PendingCall&) { return to_object(env, trainer.progress()); };
          });
  });
}

Napi::Value StaticTrainerHandle::vectors(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    StaticTrainerState& own = state();
    if (own.busy || !own.trainer.shared_vectors()) fail(Code::kInternal, "there are no vectors yet");
    return StaticVectorsHandle::make(info.Env(), own.trainer.shared_vectors());
  });
}

void StaticTrainerHandle::abort(const Napi::CallbackInfo&) {
  if (state_) state_->aborted = true;
}

void StaticTrainerHandle::dispose(const Napi::CallbackInfo&) { release(); }

}  // namespace embedcore
