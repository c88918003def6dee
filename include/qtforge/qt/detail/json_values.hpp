#pragma once
// qtforge/qt/detail/json_values.hpp: Qt's JSON to Boost's and back, with what it is in either.

#include <qtforge/qt/detail/text.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <QJsonArray>
#include <QJsonObject>
#include <QJsonValue>
#include <QVariant>

#include <cstdint>
#include <limits>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::qt::detail {

inline const char* kindName(const boost::json::value& value) noexcept {
  static constexpr const char* names[] = {"null", "a bool", "a number", "a number", "a number", "text", "an array", "an object"};
  return names[static_cast<std::size_t>(value.kind())];
}

// ---- From Qt ----------------------------------------------------------------------------------------------------------

inline void convert(const QJsonValue& from, boost::json::value& to, const Place& place);

inline void convert(const QJsonArray& from, boost::json::value& to, const Place& place) {
  place.checkDepth();
  auto& array = to.emplace_array();
  array.resize(static_cast<std::size_t>(from.size()));
  for (qsizetype i = 0; i < from.size(); ++i) {
    const auto index = static_cast<std::size_t>(i);
    convert(from.at(i), array[index], Place(place, index));
  }
}

inline void convert(const QJsonObject& from, boost::json::value& to, const Place& place) {
  place.checkDepth();
  auto& object = to.emplace_object();
  object.reserve(static_cast<std::size_t>(from.size()));
  for (auto member = from.constBegin(); member != from.constEnd(); ++member) {
    const auto key = toUtf8(member.key(), place);
    convert(member.value(), object[viewOf(key)], Place(place, viewOf(key)));
  }
}

inline void convert(const QString& from, boost::json::value& to, const Place& place) {
  to.emplace_string() = viewOf(toUtf8(from, place));
}

inline void convert(const QJsonValue& from, boost::json::value& to, const Place& place) {
  switch (from.type()) {
    case QJsonValue::Null: to = nullptr; return;
    case QJsonValue::Bool: to = from.toBool(); return;
    case QJsonValue::Double:
      // Of the public functions only this one tells whether it holds an integer: toInteger() takes whole doubles for one.
      if (const auto number = from.toVariant(); number.typeId() == QMetaType::LongLong) to = std::int64_t{number.toLongLong()};
      else to = from.toDouble();
      return;
    case QJsonValue::String: return convert(from.toString(), to, place);
    case QJsonValue::Array: return convert(from.toArray(), to, place);
    case QJsonValue::Object: return convert(from.toObject(), to, place);
    case QJsonValue::Undefined: break;
  }
  place.fail("an undefined QJsonValue, which JSON does not have");
}

// ---- To Qt ------------------------------------------------------------------------------------------------------------

inline void convert(const boost::json::value& from, QJsonValue& to, const Place& place);

inline void convert(const boost::json::value& from, QJsonArray& to, const Place& place) {
  const auto* array = from.if_array();
  if (!array) place.fail(std::string("an array expected, not ") + kindName(from));
  place.checkDepth();
  to = QJsonArray();
  for (std::size_t i = 0; i < array->size(); ++i) {
    QJsonValue element;
    convert((*array)[i], element, Place(place, i));
    to.append(element);
  }
}

inline void convert(const boost::json::value& from, QJsonObject& to, const Place& place) {
  const auto* object = from.if_object();
  if (!object) place.fail(std::string("an object expected, not ") + kindName(from));
  place.checkDepth();
  to = QJsonObject();
  for (const auto& member : *object) {
    const Place inner(place, member.key());
    QJsonValue value;
    convert(member.value(), value, inner);
    to.insert(toQString(member.key(), inner), value);
  }
}

inline void convert(const boost::json::value& from, QString& to, const Place& place) {
  const auto* text = from.if_string();
  if (!text) place.fail(std::string("text expected, not ") + kindName(from));
  to = toQString(*text, place);
}

inline void convert(const boost::json::value& from, QJsonValue& to, const Place& place) {
  switch (from.kind()) {
    case boost::json::kind::null: to = QJsonValue(QJsonValue::Null); return;
    case boost::json::kind::bool_: to = from.get_bool(); return;
    case boost::json::kind::int64: to = qint64{from.get_int64()}; return;
    case boost::json::kind::uint64:
      if (!std::in_range<qint64>(from.get_uint64()))
        place.fail(std::to_string(from.get_uint64()) + ", but a QJsonValue has integers to " +
                   std::to_string(std::numeric_limits<qint64>::max()) + " only; a QVariantMap has larger ones");
      to = static_cast<qint64>(from.get_uint64());
      return;
    case boost::json::kind::double_: to = from.get_double(); return;
    case boost::json::kind::string: {
      QString text;
      convert(from, text, place);
      to = text;
      return;
    }
    case boost::json::kind::array: {
      QJsonArray array;
      convert(from, array, place);
      to = array;
      return;
    }
    case boost::json::kind::object: {
      QJsonObject object;
      convert(from, object, place);
      to = object;
      return;
    }
  }
}

}  // namespace qtforge::inline QTFORGE_ABI::qt::detail
