#include "evaluation/encoder_quality.h"

#include "base/error.h"
#include "base/option_name.h"

namespace occ {
namespace {

LabelledTexts read_head(const std::string& path, size_t limit) {
  LabelledTexts out = read_labelled(path);
  if (limit != 0 && out.texts.size() > limit) {
    out.texts.resize(limit);
    out.labels.resize(limit);
  }
  return out;
}

}  // namespace

PairsResult measure_pairs(const EncoderModel& model, const EncoderModel& reference, const std::string& pairs,
                          size_t limit, const TextProgress& progress) {
  std::vector<std::string> left, right;
  for (auto& [x, y] : read_pairs(pairs)) {
    if (limit != 0 && left.size() == limit) break;
    left.push_back(std::move(x));
    right.push_back(std::move(y));
  }
  const EmbedOptions how{.progress = progress};
  const Matrix<float> l = model.embed(left, how), r = model.embed(right, how);
  const Matrix<float> rl = reference.embed(left, how), rr = reference.embed(right, how);
  if (l.cols() != rl.cols()) {
    throw_usage("{}: expected embeddings of {} values as of the model, found {}", option_name("reference"), l.cols(),
                rl.cols());
  }
  PairsResult out;
  out.spearman = spearman(row_cosines(l.view(), r.view()), row_cosines(rl.view(), rr.view()));
  out.cosine = mean_of(row_cosines(l.view(), rl.view()));
  out.n = left.size();
  return out;
}

ProbeResult measure_probe(const EncoderModel& model, const EncoderModel* reference, const std::string& train,
                          const std::string& test, size_t limit, const TextProgress& progress) {
  const LabelledTexts learn = read_head(train, limit), check = read_head(test, limit);
  const EmbedOptions how{.progress = progress};
  const auto accuracy = [&](const EncoderModel& m) {
    const Matrix<float> x = m.embed(learn.texts, how), y = m.embed(check.texts, how);
    return probe_accuracy(x.view(), learn.labels, y.view(), check.labels);
  };
  ProbeResult out;
  out.acc = accuracy(model);
  if (reference != nullptr) out.reference_acc = accuracy(*reference);
  out.n = check.texts.size();
  out.trained_on = learn.texts.size();
  return out;
}

}  // namespace occ
