#pragma once
// qtforge/communication/publisher.hpp: Publisher, which publishes to one topic without looking it up.

#include <qtforge/communication/detail/sending.hpp>

namespace qtforge::inline QTFORGE_ABI {

/// Publishes to one topic of one bus. Copies are cheap. @par Thread safety  any thread.
class Publisher {
 public:
  Publisher(const Publisher& other) noexcept : at_(other.at_), handle_(other.handle_) {
    if (handle_) at_.table->retainPublisher(handle_);
  }
  Publisher(Publisher&& other) noexcept : at_(other.at_), handle_(std::exchange(other.handle_, nullptr)) {}
  Publisher& operator=(Publisher other) noexcept {
    std::swap(at_, other.at_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Publisher() {
    if (handle_) at_.table->releasePublisher(handle_);
  }

  /// As MessageBus::publish, without its errors about topics.
  template <class T>
  expected<Delivery> publish(T&& payload, const PublishOptions& options = {}) const {
    detail::PublishArgs args;
    args.publisher = handle_;
    return detail::sendPayload(at_, args, std::forward<T>(payload), options);
  }

  /// As MessageBus::build, without its errors about topics.
  template <class F>
    requires std::is_invocable_v<F&, boost::json::value&>
  expected<Delivery> build(F&& f, const PublishOptions& options = {}) const {
    detail::PublishArgs args;
    args.publisher = handle_;
    return detail::sendBuilt(at_, args, f, options);
  }

  /// As MessageBus::asyncPublish, without its errors about topics. Needs communication/async.hpp.
  template <class T, class Token>
  auto asyncPublish(T&& payload, const PublishOptions& options, Token&& token) const;

 private:
  friend class MessageBus;
  Publisher(const detail::BusAt& at, void* handle) noexcept : at_(at), handle_(handle) {}
  detail::BusAt at_;
  void* handle_ = nullptr;
};

}  // namespace qtforge::inline QTFORGE_ABI
