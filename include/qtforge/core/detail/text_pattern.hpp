#pragma once
// qtforge/core/detail/text_pattern.hpp: patterns for text in the part of ECMA-262's regular expressions that can be
// matched in one pass, so that neither a pattern nor a text can make the host hang or run out of stack.

#include <qtforge/core/detail/text_pattern_parser.hpp>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// A pattern that was checked. Immutable. @par Thread safety  any thread.
class TextPattern {
 public:
  /// @return the pattern, or
  ///   - Errc::InvalidArgument  with the offset and what is wrong there, or that it is too large
  static expected<TextPattern> parse(std::string_view text) {
    PatternParser parser(text);
    auto tree = parser.parse();
    if (!tree) return tree.error();
    TextPattern pattern;
    Emitter emitter{*tree, pattern.program_};
    if (!emitter.node(tree->root) || !emitter.add({Op::Match}))
      return Error(Errc::InvalidArgument, "pattern \"" + std::string(text) + "\": too large once its repetitions are " +
                                              "written out; use smaller numbers");
    pattern.sets_ = std::move(tree->sets);
    return pattern;
  }

  /// Whether it matches somewhere in `text`, UTF-8. @par Complexity  the text's length times the pattern's size.
  [[nodiscard]] bool matches(std::string_view text) const {
    Threads now(program_.size()), next(program_.size());
    for (std::size_t at = 0;;) {
      if (follow(now, 0, at, text.size())) return true;
      if (at == text.size()) return false;
      const auto letter = takeCodePoint(text, at);
      next.clear();
      for (const auto place : now.places)
        if (sets_[program_[place].first].contains(letter) && follow(next, place + 1, at, text.size())) return true;
      std::swap(now, next);
    }
  }

 private:
  enum class Op : std::uint8_t { Set, Split, Jump, Begin, End, Match };
  struct Step {
    Op op;
    std::uint32_t first = 0, second = 0;  // a set's number, or where it goes on
  };
  static constexpr std::size_t largest = 1000;  // steps

  struct Emitter {
    const PatternTree& tree;
    std::vector<Step>& program;
    std::size_t visits = 0;  // what repeats nothing writes nothing, but takes time

    bool add(Step step) {
      program.push_back(step);
      return program.size() <= largest;
    }
    [[nodiscard]] std::uint32_t here() const { return static_cast<std::uint32_t>(program.size()); }

    bool node(std::size_t number) {
      if (++visits > 10 * largest) return false;
      const auto& node = tree.nodes[number];
      switch (node.kind) {
        case PatternNode::Kind::Set: return add({Op::Set, node.set});
        case PatternNode::Kind::Begin: return add({Op::Begin});
        case PatternNode::Kind::End: return add({Op::End});
        case PatternNode::Kind::Sequence:
          return std::all_of(node.parts.begin(), node.parts.end(), [&](auto part) { return this->node(part); });
        case PatternNode::Kind::Choice: return choice(node);
        case PatternNode::Kind::Repeat: return repeat(node);
      }
      return false;
    }

    bool choice(const PatternNode& node) {
      std::vector<std::size_t> ends;
      for (std::size_t i = 0; i + 1 < node.parts.size(); ++i) {
        const auto split = here();
        if (!add({Op::Split, split + 1}) || !this->node(node.parts[i])) return false;
        ends.push_back(here());
        if (!add({Op::Jump})) return false;
        program[split].second = here();
      }
      if (!this->node(node.parts.back())) return false;
      for (const auto end : ends) program[end].first = here();
      return true;
    }

    bool repeat(const PatternNode& node) {
      for (unsigned i = 0; i < node.least; ++i)
        if (!this->node(node.parts[0])) return false;
      if (node.most == PatternNode::unlimited) {
        const auto split = here();
        if (!add({Op::Split, split + 1}) || !this->node(node.parts[0]) || !add({Op::Jump, split})) return false;
        program[split].second = here();
        return true;
      }
      std::vector<std::size_t> splits;
      for (unsigned i = node.least; i < node.most; ++i) {
        splits.push_back(here());
        if (!add({Op::Split, here() + 1}) || !this->node(node.parts[0])) return false;
      }
      for (const auto split : splits) program[split].second = here();
      return true;
    }
  };

  /// Where a match may go on: places of Sets, each once.
  struct Threads {
    explicit Threads(std::size_t size) : seen(size) {}
    std::vector<std::uint32_t> places, pending;
    std::vector<bool> seen;
    void clear() {
      places.clear();
      seen.assign(seen.size(), false);
    }
  };

  // Adds `place` and what can be reached from it without a letter. @return whether that is the end of a match
  bool follow(Threads& threads, std::uint32_t place, std::size_t at, std::size_t end) const {
    threads.pending.push_back(place);
    while (!threads.pending.empty()) {
      const auto next = threads.pending.back();
      threads.pending.pop_back();
      if (threads.seen[next]) continue;
      threads.seen[next] = true;
      const auto& step = program_[next];
      switch (step.op) {
        case Op::Set: threads.places.push_back(next); break;
        case Op::Split:
          threads.pending.push_back(step.second);
          threads.pending.push_back(step.first);
          break;
        case Op::Jump: threads.pending.push_back(step.first); break;
        case Op::Begin:
          if (at == 0) threads.pending.push_back(next + 1);
          break;
        case Op::End:
          if (at == end) threads.pending.push_back(next + 1);
          break;
        case Op::Match: return true;
      }
    }
    return false;
  }

  std::vector<Step> program_;
  std::vector<LetterSet> sets_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
