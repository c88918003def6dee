#pragma once
// qtforge/qt/detail/text.hpp: QString to UTF-8 and back, refusing what would not come back.

#include <qtforge/qt/detail/place.hpp>

#include <boost/json/string.hpp>

#include <QByteArray>
#include <QByteArrayView>
#include <QString>
#include <QStringDecoder>
#include <QStringView>

#include <string_view>

namespace qtforge::inline QTFORGE_ABI::qt::detail {

inline QByteArray toUtf8(const QString& text, const Place& place) {
  if (!QStringView(text).isValidUtf16()) place.fail("text with half of a surrogate pair, which has no UTF-8");
  return text.toUtf8();
}

inline std::string_view viewOf(const QByteArray& bytes) noexcept {
  return {bytes.constData(), static_cast<std::size_t>(bytes.size())};
}

inline QString toQString(std::string_view text, const Place& place) {
  // QString::fromUtf8 tells no errors, and leaves out a first U+FEFF.
  QStringDecoder decoder(QStringDecoder::Utf8, QStringDecoder::Flag::Stateless | QStringDecoder::Flag::ConvertInitialBom);
  QString made = decoder(QByteArrayView(text.data(), static_cast<qsizetype>(text.size())));
  if (decoder.hasError()) place.fail("text that is not UTF-8");
  return made;
}

}  // namespace qtforge::inline QTFORGE_ABI::qt::detail
