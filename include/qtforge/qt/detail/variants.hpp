#pragma once
// qtforge/qt/detail/variants.hpp: what QVariants hold to JSON with bytes, and back.

#include <qtforge/communication/detail/payload_form.hpp>
#include <qtforge/qt/detail/bytes.hpp>
#include <qtforge/qt/detail/json_values.hpp>

#include <QHash>
#include <QList>
#include <QMap>
#include <QStringList>
#include <QVariant>

#include <string>
#include <unordered_map>

namespace qtforge::inline QTFORGE_ABI::qt::detail {

using qtforge::detail::JsonWithBytes;

/// Makes JSON of QVariants, and collects the bytes in them.
class FromVariants {
 public:
  explicit FromVariants(Attachments& attachments) noexcept : attachments_(attachments) {}

  void convert(const QVariantList& from, boost::json::value& to, const Place& place) {
    place.checkDepth();
    auto& array = to.emplace_array();
    array.resize(static_cast<std::size_t>(from.size()));
    for (std::size_t i = 0; i < array.size(); ++i)
      convert(from.at(static_cast<qsizetype>(i)), array[i], Place(place, i));
  }

  template <class Map>
    requires std::same_as<Map, QVariantMap> || std::same_as<Map, QVariantHash>
  void convert(const Map& from, boost::json::value& to, const Place& place) {
    place.checkDepth();
    auto& object = to.emplace_object();
    object.reserve(static_cast<std::size_t>(from.size()));
    for (auto entry = from.constBegin(); entry != from.constEnd(); ++entry) {
      const auto key = toUtf8(entry.key(), place);
      convert(entry.value(), object[viewOf(key)], Place(place, viewOf(key)));
    }
  }

  void convert(const QVariant& from, boost::json::value& to, const Place& place) {
    switch (from.typeId()) {
      case QMetaType::UnknownType:  // no value
      case QMetaType::Nullptr: to = nullptr; return;
      case QMetaType::Bool: to = from.toBool(); return;
      case QMetaType::SChar:
      case QMetaType::Short:
      case QMetaType::Int:
      case QMetaType::Long:
      case QMetaType::LongLong: to = std::int64_t{from.toLongLong()}; return;
      case QMetaType::UChar:
      case QMetaType::UShort:
      case QMetaType::UInt:
      case QMetaType::ULong:
      case QMetaType::ULongLong: to = std::uint64_t{from.toULongLong()}; return;
      case QMetaType::Float:
      case QMetaType::Double: to = from.toDouble(); return;
      case QMetaType::QString: return detail::convert(from.toString(), to, place);
      case QMetaType::QStringList: return convert(from.toList(), to, place);
      case QMetaType::QVariantList: return convert(from.toList(), to, place);
      case QMetaType::QVariantMap: return convert(from.toMap(), to, place);
      case QMetaType::QVariantHash: return convert(from.toHash(), to, place);
      case QMetaType::QJsonValue: return detail::convert(from.toJsonValue(), to, place);
      case QMetaType::QJsonArray: return detail::convert(from.toJsonArray(), to, place);
      case QMetaType::QJsonObject: return detail::convert(from.toJsonObject(), to, place);
      case QMetaType::QByteArray:
        to = nullptr;
        attachments_.push_back({place.pointer(), bufferOf(from.toByteArray())});
        return;
      default:
        place.fail(std::string("a QVariant of ") + from.typeName() +
                   ", of which a message has no form; put numbers, text, QByteArray, lists and maps of these there");
    }
  }

 private:
  Attachments& attachments_;
};

/// Makes QVariants of JSON with bytes.
class ToVariants {
 public:
  explicit ToVariants(const Attachments& attachments) {
    for (const auto& attachment : attachments) bytes_.emplace(attachment.place, &attachment.data);
  }

  void convert(const boost::json::value& from, QVariantList& to, const Place& place) const {
    const auto* array = from.if_array();
    if (!array) place.fail(std::string("an array expected, not ") + kindName(from));
    place.checkDepth();
    for (std::size_t i = 0; i < array->size(); ++i) to.append(variant((*array)[i], Place(place, i)));
  }

  void convert(const boost::json::value& from, QVariantMap& to, const Place& place) const {
    const auto* object = from.if_object();
    if (!object) place.fail(std::string("an object expected, not ") + kindName(from));
    place.checkDepth();
    for (const auto& member : *object) {
      const Place inner(place, member.key());
      to.insert(toQString(member.key(), inner), variant(member.value(), inner));
    }
  }

 private:
  [[nodiscard]] QVariant variant(const boost::json::value& from, const Place& place) const {
    switch (from.kind()) {
      case boost::json::kind::null: return nullOrBytes(place);
      case boost::json::kind::bool_: return from.get_bool();
      case boost::json::kind::int64: return qlonglong{from.get_int64()};
      case boost::json::kind::uint64:
        if (std::in_range<qlonglong>(from.get_uint64())) return static_cast<qlonglong>(from.get_uint64());
        return qulonglong{from.get_uint64()};
      case boost::json::kind::double_: return from.get_double();
      case boost::json::kind::string: return toQString(from.get_string(), place);
      case boost::json::kind::array: {
        QVariantList list;
        convert(from, list, place);
        return list;
      }
      case boost::json::kind::object: {
        QVariantMap map;
        convert(from, map, place);
        return map;
      }
    }
    return {};
  }

  [[nodiscard]] QVariant nullOrBytes(const Place& place) const {
    if (!bytes_.empty())
      if (const auto found = bytes_.find(place.pointer()); found != bytes_.end()) return copyOf(*found->second);
    return QVariant::fromValue(nullptr);
  }

  std::unordered_map<std::string, const Buffer*> bytes_;
};

}  // namespace qtforge::inline QTFORGE_ABI::qt::detail
