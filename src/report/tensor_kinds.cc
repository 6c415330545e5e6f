#include "report/tensor_kinds.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <tuple>

#include "base/glob.h"

namespace occ {
namespace {

struct Kind {
  const char* label;
  std::vector<const char*> patterns;
};

// The kinds in the order in which tables show them. If several kinds match a name, the last of them counts.
const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {"embedding", {"*embed*", "*embd*", "*wte*", "*wpe*"}},
      {"head", {"*lm_head*", "output.weight", "embed_out*"}},
      {"attention q", {"*q_proj*", "*attn_q.*", "*.query.*", "*.q_lin.*", "*Attention.q.*"}},
      {"attention k", {"*k_proj*", "*attn_k.*", "*.key.*", "*.k_lin.*", "*Attention.k.*"}},
      {"attention v", {"*v_proj*", "*attn_v.*", "*.value.*", "*.v_lin.*", "*Attention.v.*"}},
      {"attention qkv", {"*qkv*", "*c_attn*", "*query_key_value*"}},
      {"attention o",
       {"*o_proj*", "*attn_output*", "*attn.c_proj*", "*attention.dense*", "*attention.output.dense*", "*out_proj*",
        "*out_lin*", "*Attention.o.*"}},
      {"gate", {"*gate_proj*", "*ffn_gate*", "*.w1.*", "*.wi_0.*"}},
      {"up",
       {"*up_proj*", "*ffn_up*", "*.w3.*", "*mlp.c_fc*", "*dense_h_to_4h*", "*intermediate.dense*", "*.fc1.*",
        "*.wi_1.*", "*.wi.*", "*.lin1.*"}},
      {"gate and up", {"*gate_up*"}},
      {"down",
       {"*down_proj*", "*ffn_down*", "*.w2.*", "*mlp.c_proj*", "*dense_4h_to_h*", "*.?.output.dense.*",
        "*.??.output.dense.*", "*.fc2.*", "*.wo.*", "*.lin2.*"}},
      {"router", {"*.mlp.gate.weight", "*.block_sparse_moe.gate.weight", "*ffn_gate_inp*"}},
      {"bias", {"*.bias", "*_bias", "bias"}},
      {"norm", {"*norm*", "*LayerNorm*", "*ln_?.*", "*layer_norm*"}},
  };
  return all;
}

bool matches(const Kind& kind, const std::string& name) {
  return std::any_of(kind.patterns.begin(), kind.patterns.end(), [&](const char* p) { return glob_match(p, name); });
}

}  // namespace

std::string tensor_kind(const std::string& name) {
  const auto found = std::find_if(kinds().rbegin(), kinds().rend(), [&](const Kind& k) { return matches(k, name); });
  return found == kinds().rend() ? "other" : found->label;
}

bool is_embedding_or_head(const std::string& name) { return matches(kinds()[0], name) || matches(kinds()[1], name); }

std::optional<std::string> tensor_layer(const std::string& name) {
  for (size_t at = 0; at < name.size();) {
    const size_t end = std::min(name.find('.', at), name.size());
    const auto digit = [](unsigned char c) { return std::isdigit(c) != 0; };
    if (end > at &&
        std::all_of(name.begin() + static_cast<ptrdiff_t>(at), name.begin() + static_cast<ptrdiff_t>(end), digit)) {
      return name.substr(0, end);
    }
    at = end + 1;
  }
  return std::nullopt;
}

std::vector<TensorGroup> group_by_kind(std::span<const std::string> names) {
  std::vector<TensorGroup> out;
  for (const Kind& k : kinds()) out.push_back({k.label, {}});
  out.push_back({"other", {}});
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string kind = tensor_kind(names[i]);
    std::find_if(out.begin(), out.end(), [&](const TensorGroup& g) { return g.label == kind; })->members.push_back(i);
  }
  std::erase_if(out, [](const TensorGroup& g) { return g.members.empty(); });
  return out;
}

std::vector<TensorGroup> group_by_layer(std::span<const std::string> names) {
  // Maps the stack and the number of a layer, such as ("model.layers.", "10"), to its tensors.
  std::map<std::pair<std::string, std::string>, std::vector<size_t>> layers;
  std::set<std::string> stacks;
  std::vector<size_t> outside;
  for (size_t i = 0; i < names.size(); ++i) {
    if (const auto layer = tensor_layer(names[i])) {
      const size_t number = layer->rfind('.') + 1;  // without a dot npos + 1 is 0
      stacks.insert(layer->substr(0, number));
      layers[{layer->substr(0, number), layer->substr(number)}].push_back(i);
    } else {
      outside.push_back(i);
    }
  }
  std::vector<TensorGroup> out;
  for (auto& [key, members] : layers) {
    out.push_back({stacks.size() == 1 ? key.second : key.first + key.second, std::move(members)});
  }
  // The numbers are text here, so the text with fewer digits is the smaller number.
  std::stable_sort(out.begin(), out.end(), [](const TensorGroup& a, const TensorGroup& b) {
    const auto stack = [](const TensorGroup& g) { return g.label.substr(0, g.label.rfind('.') + 1); };
    return std::tuple(stack(a), a.label.size(), a.label) < std::tuple(stack(b), b.label.size(), b.label);
  });
  if (!out.empty() && !outside.empty()) out.push_back({"no layer", std::move(outside)});
  return out;
}

}  // namespace occ
