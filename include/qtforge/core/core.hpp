#pragma once
// qtforge/core/core.hpp: plugins: what they are, how they are loaded, and their manager.

#include <qtforge/core/configuration.hpp>
#include <qtforge/core/configuration_entry.hpp>
#include <qtforge/core/dependency_order.hpp>
#include <qtforge/core/implements.hpp>
#include <qtforge/core/interface.hpp>
#include <qtforge/core/interface_handle.hpp>
#include <qtforge/core/iplugin.hpp>
#include <qtforge/core/lifecycle.hpp>
#include <qtforge/core/manifest.hpp>
#include <qtforge/core/native_plugin_loader.hpp>
#include <qtforge/core/plugin_handle.hpp>
#include <qtforge/core/plugin_loader.hpp>
#include <qtforge/core/plugin_manager.hpp>
#include <qtforge/core/version.hpp>
