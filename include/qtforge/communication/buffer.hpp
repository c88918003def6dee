#pragma once
// qtforge/communication/buffer.hpp: immutable bytes that any number of readers share, in any binary, on any thread.

#include <qtforge/utils/detail/lease.hpp>

#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

namespace detail {

struct BufferControl {
  std::atomic<std::uint32_t> references{1};
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  void (*destroy)(BufferControl* self) = nullptr;  // code of the binary that made it, which `lease` keeps mapped
  Lease* lease = nullptr;
};

}  // namespace detail

/// Immutable bytes, shared by reference count. A copy costs an increment; the last owner frees them, on any thread.
class Buffer {
 public:
  Buffer() noexcept = default;

  /// Adopts `bytes`: no copy when moved in.
  Buffer(std::vector<std::uint8_t> bytes) {
    if (!bytes.empty()) adopt(std::move(bytes));
  }

  /// A copy of `bytes`.
  [[nodiscard]] static Buffer copy(std::span<const std::uint8_t> bytes) {
    return Buffer(std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
  }

  /// Bytes that live in `owner`, which is destroyed with the last copy; `bytes` must stay valid and unchanged so long.
  template <class Owner>
  [[nodiscard]] static Buffer of(std::span<const std::uint8_t> bytes, Owner owner) {
    auto* held = new Held<Owner>(std::move(owner));
    held->data = bytes.data();
    held->size = bytes.size();
    return Buffer(held);
  }

  Buffer(const Buffer& other) noexcept : control_(other.control_) {
    if (control_) control_->references.fetch_add(1, std::memory_order_relaxed);
  }
  Buffer(Buffer&& other) noexcept : control_(std::exchange(other.control_, nullptr)) {}
  Buffer& operator=(Buffer other) noexcept {
    std::swap(control_, other.control_);
    return *this;
  }
  ~Buffer() {
    if (!control_ || control_->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    detail::Lease* lease = control_->lease;
    control_->destroy(control_);
    if (lease) lease->release();
  }

  [[nodiscard]] const std::uint8_t* data() const noexcept { return control_ ? control_->data : nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return control_ ? control_->size : 0; }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] const std::uint8_t* begin() const noexcept { return data(); }
  [[nodiscard]] const std::uint8_t* end() const noexcept { return data() + size(); }
  [[nodiscard]] std::uint8_t operator[](std::size_t index) const noexcept { return data()[index]; }
  operator std::span<const std::uint8_t>() const noexcept { return {data(), size()}; }

  /// The owner that `of` was given, if that was an Owner and in this binary; else null.
  template <class Owner>
  [[nodiscard]] const Owner* owner() const noexcept {
    return control_ && control_->destroy == &Held<Owner>::drop ? &static_cast<Held<Owner>*>(control_)->owner : nullptr;
  }

  friend bool operator==(const Buffer& a, const Buffer& b) noexcept {
    return a.size() == b.size() && (a.size() == 0 || std::memcmp(a.data(), b.data(), a.size()) == 0);
  }

 private:
  template <class Owner>
  struct Held : detail::BufferControl {
    explicit Held(Owner&& moved) : owner(std::move(moved)) {
      lease = detail::retainOwnLease();
      destroy = &drop;
    }
    static void drop(detail::BufferControl* self) { delete static_cast<Held*>(self); }

    Owner owner;
  };

  explicit Buffer(detail::BufferControl* control) noexcept : control_(control) {}

  void adopt(std::vector<std::uint8_t>&& bytes) {
    auto* held = new Held<std::vector<std::uint8_t>>(std::move(bytes));
    held->data = held->owner.data();
    held->size = held->owner.size();
    control_ = held;
  }

  detail::BufferControl* control_ = nullptr;
};

}  // namespace qtforge::inline QTFORGE_ABI
