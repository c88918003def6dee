#pragma once

#include <qtforge/core/implements.hpp>
#include <qtforge/plugin.hpp>

using qtforge::Interface, qtforge::Method, qtforge::BinaryMessage;

using Filter = Interface<"image.filter/1", Method<"apply(image, amount)", BinaryMessage(BinaryMessage, double)>,
                         Method<"title()", std::string()>>;
