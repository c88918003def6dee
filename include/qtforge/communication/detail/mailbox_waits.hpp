#pragma once
// qtforge/communication/detail/mailbox_waits.hpp: who waits at a mailbox: puts for a place, others for what is in it to
// be handled.

#include <qtforge/communication/detail/intrusive_list.hpp>
#include <qtforge/communication/message.hpp>

#include <cstdint>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

enum class PutResult { Queued, QueuedFirst, Replaced, DroppedOldest, DroppedNewest, Full, Waiting, Closed };

/// A message that waits for a place in a mailbox.
struct WaitingPut : ListItem<WaitingPut> {
  /// @param told  called once when it no longer waits, unless Mailbox::withdraw took it back: from any thread, without a
  ///              lock. It may end the put's life. Null: a thread waits for it.
  explicit WaitingPut(Message m, void (*told)(WaitingPut* self) = nullptr) : message(std::move(m)), settled(told) {}

  Message message;
  void (*const settled)(WaitingPut* self);
  // The mailbox's:
  PutResult result = PutResult::Waiting;  // then Queued or Closed
  std::uint64_t ticket = 0;               // its number among all that waited there
  bool waits = false;
};

/// Waits until all that was put into a mailbox before is handled or dropped.
struct HandledWait : ListItem<HandledWait> {
  /// @param told  as WaitingPut's, unless Mailbox::forget took it back
  explicit HandledWait(void (*told)(HandledWait* self)) : settled(told) {}

  void (*const settled)(HandledWait* self);
  // The mailbox's:
  std::uint64_t target = 0;  // how many are to be handled
  std::uint64_t ticket = 0;  // of the last put that waited before it
  bool waits = false;
};

/// Whom to tell once the mailbox's lock is gone.
struct SettledWaits {
  IntrusiveList<WaitingPut> puts;
  IntrusiveList<HandledWait> waits;

  void tell() {
    while (auto* put = puts.takeFirst()) put->settled(put);
    while (auto* wait = waits.takeFirst()) wait->settled(wait);
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
