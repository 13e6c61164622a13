// Loads the addon when called, so that importing the package never fails for want of it. The path is static: file
// tracers follow it to load.cjs and from there to the addon.
'use strict'

exports.open = () => require('./load.cjs')
