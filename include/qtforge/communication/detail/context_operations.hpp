#pragma once
// qtforge/communication/detail/context_operations.hpp: the operations whose handlers would be called on one execution
// context, so that they end with it.

#include <qtforge/communication/detail/intrusive_list.hpp>
#include <qtforge/utils/detail/lease.hpp>

#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/system_context.hpp>

#include <concepts>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// An execution context that may end before the process does.
template <class T>
concept EndingContext = std::convertible_to<T, boost::asio::execution_context&> &&
                        !std::same_as<T, boost::asio::system_context&>;

/// Made by the context's first operation of this binary; operations may outlive the context, and then only this is left.
///
/// @par Thread safety  any thread; close() from the one that ends the context.
class ContextOperations {
 public:
  /// An operation that waits. It is kept until it is claimed.
  class Member : public ListItem<Member> {
   public:
    virtual ~Member() = default;

   private:
    friend class ContextOperations;
    /// The context has ended: the handler goes without a call.
    virtual void drop() = 0;
    std::shared_ptr<Member> self_;  // while it is in the list, which is guarded by the list's mutex
  };

  /// False: the context has ended.
  bool add(std::shared_ptr<Member> member) {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    Member& item = *member;
    item.self_ = std::move(member);
    members_.add(item);
    return true;
  }

  /// The right to complete a member. While one lives the context does not end.
  class Claim {
   public:
    Claim(ContextOperations* operations, Member& member) : operations_(operations) {
      if (operations_) share_ = operations_->take(member);
    }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;
    ~Claim() {
      if (share_) operations_->completed();
    }
    /// False: it has been claimed, or its context has ended.
    explicit operator bool() const noexcept { return share_ || !operations_; }

   private:
    ContextOperations* operations_;  // null: a context that does not end
    std::shared_ptr<Member> share_;
  };

  /// Drops all that wait.
  void close() {
    IntrusiveList<Member> dropped;
    {
      std::unique_lock lock(mutex_);
      closed_ = true;
      dropped.swap(members_);
      idle_.wait(lock, [&] { return completing_ == 0; });
    }
    while (auto* member = dropped.takeFirst()) {
      const auto share = std::move(member->self_);
      member->drop();
    }
  }

  /// Those of the context of `executor`; null where it has none that ends.
  template <class Executor>
  static std::shared_ptr<ContextOperations> of(const Executor& executor) {
    if constexpr (requires {
                    { boost::asio::query(executor, boost::asio::execution::context) } -> EndingContext;
                  }) {
      boost::asio::execution_context& context = boost::asio::query(executor, boost::asio::execution::context);
      return boost::asio::use_service<Service>(context).operations;
    } else {
      return nullptr;
    }
  }

 private:
  struct Service : boost::asio::execution_context::service {
    static inline boost::asio::execution_context::id id;

    explicit Service(boost::asio::execution_context& context) : service(context) {}

    const OwnLease lease;  // on this code, which the context calls when it ends

    ~Service() override { operations->close(); }  // of a context that was already ending when this was made

    const std::shared_ptr<ContextOperations> operations = std::make_shared<ContextOperations>();

   private:
    void shutdown() override { operations->close(); }
  };

  std::shared_ptr<Member> take(Member& member) {
    std::lock_guard lock(mutex_);
    if (closed_ || !member.self_) return nullptr;
    members_.remove(member);
    ++completing_;
    return std::move(member.self_);
  }

  void completed() {
    std::lock_guard lock(mutex_);
    if (--completing_ == 0 && closed_) idle_.notify_all();
  }

  std::mutex mutex_;  // guards all below; a leaf
  std::condition_variable idle_;
  IntrusiveList<Member> members_;
  std::size_t completing_ = 0;
  bool closed_ = false;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
