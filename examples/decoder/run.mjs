// Trains a model on product pairs and prints how well it finds held-out products before and after.
//
//   node examples/products/run.mjs [--data DIR] [--model DIR] [--seeds 1,2,3] [--json]
import { runRecipe } from '../lib/command.mjs'
import { recipe } from './recipe.mjs'

runRecipe(recipe)
