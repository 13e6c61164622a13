// Loads the addon: a prebuilt one (prebuilds/) or the one built here (build/Release). EMBEDCORE_ADDON names another
// file, e.g. a sanitizer build. CommonJS, because that is what can load a .node file from both of the package's
// entries.
'use strict'
const { join } = require('node:path')

module.exports = process.env.EMBEDCORE_ADDON
  ? require(process.env.EMBEDCORE_ADDON)
  : require('node-gyp-build')(join(__dirname, '..', '..'))
