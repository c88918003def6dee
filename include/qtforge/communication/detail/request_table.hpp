#pragma once
// qtforge/communication/detail/request_table.hpp: requests that wait for their answers. Each has a topic of its own,
// below replyPrefix, to which only its answer goes.

#include <qtforge/communication/detail/bus_table.hpp>
#include <qtforge/communication/detail/client.hpp>

#include <atomic>
#include <charconv>
#include <chrono>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

inline constexpr std::string_view replyPrefix = "qtforge.reply.";

/// What a request gets that was not answered in time.
inline Error noAnswerError(std::string_view topic, std::chrono::nanoseconds timeout) {
  return Error(Errc::TimedOut,
               "request: no answer on \"" + std::string(topic) + "\" within " +
                   std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count()) + " ms");
}

/// Where the answer of a request goes; called once, on any thread.
struct Reply {
  void* self = nullptr;
  /// `answer` is a reference for the callee, or null with the error.
  void (*done)(void* self, MessageRecord* answer, std::int32_t code, Text message, Text pythonType, Text traceback) = nullptr;
};

/// @par Thread safety  any thread. Its lock is a leaf: replies are called without it.
class RequestTable {
 public:
  /// @return the request's number; what became of it goes to `reply`, once
  std::uint64_t add(const Client& client, Reply reply) {
    std::lock_guard lock(mutex_);
    waiting_.emplace(++last_, Waiting{&client, reply, 0, 0, {}});
    return last_;
  }

  static std::string topicOf(std::uint64_t number) { return std::string(replyPrefix) + std::to_string(number); }

  /// Which request has that reply topic; 0: none.
  [[nodiscard]] static std::uint64_t numberOf(std::string_view topic) noexcept {
    std::uint64_t number = 0;
    if (!topic.starts_with(replyPrefix)) return 0;
    const auto digits = topic.substr(replyPrefix.size());
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return read.ec == std::errc() && read.ptr == digits.data() + digits.size() ? number : 0;
  }

  /// False if it has its answer, or its time was up.
  bool answer(std::uint64_t number, Message message) {
    const auto reply = take(number);
    if (reply.done) reply.done(reply.self, message.release(), 0, {}, {}, {});
    return reply.done != nullptr;
  }

  bool fail(std::uint64_t number, const Error& error) {
    const auto reply = take(number);
    if (reply.done) tell(reply, error);
    return reply.done != nullptr;
  }

  /// `responders` subscriptions have the request; some may have lost it since.
  void asked(std::uint64_t number, std::uint32_t responders) {
    failIfLost(number, [&](Waiting& request) { request.responders = responders; });
  }

  /// A responder that had it will not answer. The error is the requester's when that was the last one.
  void lost(std::uint64_t number, const Error& error) {
    failIfLost(number, [&](Waiting& request) {
      ++request.lost;
      request.error = error;
    });
  }

  /// Gives up on it: its reply will not be called; false if it was or is about to be.
  bool forget(std::uint64_t number) { return take(number).done != nullptr; }

  /// Fails those of `client`; of all for null.
  void failAll(const Client* client, const Error& error) {
    std::vector<Reply> failed;
    {
      std::lock_guard lock(mutex_);
      std::erase_if(waiting_, [&](const auto& item) {
        if (client && item.second.client != client) return false;
        failed.push_back(item.second.reply);
        return true;
      });
    }
    for (const auto& reply : failed) tell(reply, error);
  }

 private:
  struct Waiting {
    const Client* client;
    Reply reply;
    std::uint32_t responders = 0;  // 0: not known yet
    std::uint32_t lost = 0;
    Error error = {};  // of the last that was lost
  };

  template <class Change>
  void failIfLost(std::uint64_t number, Change&& change) {
    Reply reply;
    Error error;
    {
      std::lock_guard lock(mutex_);
      const auto found = waiting_.find(number);
      if (found == waiting_.end()) return;
      change(found->second);
      if (found->second.responders == 0 || found->second.lost < found->second.responders) return;
      reply = found->second.reply;
      error = found->second.error;
      waiting_.erase(found);
    }
    tell(reply, error);
  }

  Reply take(std::uint64_t number) {
    std::lock_guard lock(mutex_);
    const auto found = waiting_.find(number);
    if (found == waiting_.end()) return {};
    const Reply reply = found->second.reply;
    waiting_.erase(found);
    return reply;
  }

  static void tell(const Reply& reply, const Error& error) {
    const auto message = error.message(), type = error.pythonType(), traceback = error.traceback();
    reply.done(reply.self, nullptr, static_cast<std::int32_t>(error.code()), std::string_view(message),
               std::string_view(type), std::string_view(traceback));
  }

  std::mutex mutex_;  // guards all below
  std::uint64_t last_ = 0;
  std::unordered_map<std::uint64_t, Waiting> waiting_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
