#pragma once
// qtforge/core/detail/ordered_work.hpp: does something for each of many plugins, on several threads, in their order.

#include <qtforge/core/dependency_order.hpp>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Calls a function with the indices of `order`, each once all that it needs among them, be it optional, has returned.
class OrderedWork {
 public:
  /// @param nodes  must outlive this
  OrderedWork(std::span<const DependencyNode> nodes, std::span<const std::size_t> order)
      : order_(order), waitsFor_(order.size()), neededBy_(order.size()) {
    std::map<std::string_view, std::size_t> places;
    for (std::size_t place = 0; place < order.size(); ++place) places.emplace(nodes[order[place]].name, place);
    for (std::size_t place = 0; place < order.size(); ++place) {
      for (const auto& wanted : nodes[order[place]].dependencies) {
        const auto other = places.find(wanted.name);
        if (other == places.end() || other->second >= place) continue;  // optional, and part of a cycle
        neededBy_[other->second].push_back(place);
        ++waitsFor_[place];
      }
      if (waitsFor_[place] == 0) ready_.insert(place);
    }
  }

  /// Returns when all is done. `f` must not throw.
  ///
  /// @param threads  how many at most, the calling one among them; fewer where no more can be started
  template <class F>
  void run(std::size_t threads, F&& f) {
    std::vector<std::thread> helpers;
    try {
      while (helpers.size() + 1 < std::min(threads, order_.size())) helpers.emplace_back([&] { work(f); });
    } catch (const std::system_error&) {
    }
    work(f);
    for (auto& helper : helpers) helper.join();
  }

 private:
  template <class F>
  void work(F& f) {
    std::unique_lock lock(mutex_);
    while (done_ < order_.size()) {
      if (ready_.empty()) {
        changed_.wait(lock);
        continue;
      }
      const auto place = ready_.extract(ready_.begin()).value();
      lock.unlock();
      f(order_[place]);
      lock.lock();
      ++done_;
      for (const auto other : neededBy_[place])
        if (--waitsFor_[other] == 0) ready_.insert(other);
      changed_.notify_all();
    }
  }

  const std::span<const std::size_t> order_;
  std::mutex mutex_;  // guards all below, but for neededBy_, which stays as it is
  std::condition_variable changed_;
  std::vector<std::size_t> waitsFor_;             // by place in order_: how many are not done
  std::vector<std::vector<std::size_t>> neededBy_;
  std::set<std::size_t> ready_;
  std::size_t done_ = 0;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
