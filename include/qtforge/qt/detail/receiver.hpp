#pragma once
// qtforge/qt/detail/receiver.hpp: an object into whose event loop any thread queues calls while it lives.

#include <qtforge/utils/config.hpp>

#include <QMetaObject>
#include <QObject>
#include <QPointer>
#include <QThread>

#include <memory>
#include <mutex>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::qt::detail {

struct Queued {
  virtual ~Queued() = default;
  virtual void run() = 0;
};

template <class F>
class QueuedCall final : public Queued {
 public:
  template <class G>
  explicit QueuedCall(G&& f) : f_(std::forward<G>(f)) {}
  void run() override {
    F f(std::move(f_));  // ends with the call
    f();
  }

 private:
  F f_;
};

/// Queues by a QPointer would race with the end of the object on its own thread: its `destroyed` takes the lock here.
class Receiver {
 public:
  static std::shared_ptr<Receiver> of(QObject* object) {
    auto made = std::make_shared<Receiver>();
    if (!object) return made;
    made->object_ = object;
    made->connection_ = QObject::connect(
        object, &QObject::destroyed, object,
        [weak = std::weak_ptr(made)] {
          if (const auto receiver = weak.lock()) receiver->forget();
        },
        Qt::DirectConnection);
    return made;
  }

  Receiver() = default;
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;
  ~Receiver() { QObject::disconnect(connection_); }

  /// Destroys the call where there is no object any more.
  /// @param call  shared with Qt, so that none ends under the lock: its destructor may be anybody's code
  void post(const std::shared_ptr<Queued>& call) {
    std::lock_guard lock(mutex_);
    if (object_) QMetaObject::invokeMethod(object_.data(), [call] { call->run(); }, Qt::QueuedConnection);
  }

  [[nodiscard]] bool livesHere() noexcept {
    std::lock_guard lock(mutex_);
    return object_ && object_->thread() == QThread::currentThread();
  }

 private:
  void forget() {
    std::lock_guard lock(mutex_);
    object_ = nullptr;
  }

  std::mutex mutex_;
  QPointer<QObject> object_;  // guarded by mutex_; knows the end even where somebody has disconnected all signals
  QMetaObject::Connection connection_;
};

}  // namespace qtforge::inline QTFORGE_ABI::qt::detail
