#pragma once
// qtforge/communication/detail/group.hpp: subscriptions that share their messages: which member gets the next one.

#include <qtforge/communication/detail/subscription_core.hpp>

#include <array>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// The members of groups that one message matches. Allocates from the 17th on.
class MatchedMembers {
 public:
  void add(SubscriptionCore& member) {
    if (count_ < near_.size()) near_[count_] = &member;
    else far_.push_back(&member);
    ++count_;
  }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }

  /// Calls `offer(member)` for members of each group, beginning with another one each time and leaving full mailboxes
  /// for last, until one takes the message; then `done(whether one did)`.
  template <class Offer, class Done>
  void offerToEach(Offer&& offer, Done&& done) {
    for (std::size_t i = 0; i < count_; ++i)
      if (at(i)) done(offerTo(at(i)->group.get(), offer));
  }

 private:
  SubscriptionCore*& at(std::size_t i) noexcept { return i < near_.size() ? near_[i] : far_[i - near_.size()]; }

  // Whom it has been offered to is no longer there.
  template <class Offer>
  bool offerTo(Group* group, Offer&& offer) {
    const auto isMember = [&](std::size_t i) { return at(i) && at(i)->group.get() == group; };
    std::size_t members = 0;
    for (std::size_t i = 0; i < count_; ++i) members += isMember(i);
    auto skip = group->next.fetch_add(1, std::memory_order_relaxed) % members;
    std::size_t first = 0;
    while (!isMember(first) || skip-- > 0) ++first;
    bool taken = false;
    for (const bool patient : {false, true})
      for (std::size_t n = 0; n < count_ && !taken; ++n) {
        const auto i = (first + n) % count_;
        if (!isMember(i) || (!patient && at(i)->mailbox().full())) continue;
        taken = offer(*std::exchange(at(i), nullptr));
      }
    for (std::size_t i = 0; i < count_; ++i)
      if (isMember(i)) at(i) = nullptr;
    return taken;
  }

  std::array<SubscriptionCore*, 16> near_;  // as far as count_
  std::vector<SubscriptionCore*> far_;
  std::size_t count_ = 0;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
