// The directory of the model that comes with the package: static vectors of 256 dimensions
// for English, Chinese, Spanish and French, no download.
// CommonJS, because file tracers take in the folder that `join(__dirname, ...)` names.
'use strict'
const { join } = require('node:path')

exports.directory = join(__dirname, 'embedcore-static-multilingual')
