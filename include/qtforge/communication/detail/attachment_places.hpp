#pragma once
// qtforge/communication/detail/attachment_places.hpp: whether bytes that a caller attaches have a place in the payload.

#include <qtforge/communication/detail/bus_table.hpp>

#include <boost/json/value.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

inline bool hasNullAt(const PayloadView& payload, std::string_view place) {
  if (payload.kind != PayloadKind::Json) return false;
  boost::system::error_code failed;
  const auto* found = static_cast<const boost::json::value*>(payload.object)->find_pointer(place, failed);
  return found && found->is_null();
}

/// @return nothing, or Errc::InvalidArgument
inline expected<void> checkAttachments(const PublishArgs& args) {
  if (!args.extras || !args.extras->attachmentsOfCaller) return {};
  for (const auto& attachment : *args.extras->attachments)
    if (!hasNullAt(args.payload, attachment.place))
      return Error(Errc::InvalidArgument,
                   "a message on \"" + std::string(std::string_view(args.topic)) + "\": bytes are attached at \"" +
                       attachment.place + "\", where its payload has no null; a place is a JSON pointer, as \"/image\"");
  return {};
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
