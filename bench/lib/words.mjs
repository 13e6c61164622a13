/** Common English words: the generated texts are made of them, and the generated vocabulary holds each as one token. */
const LINES = [
  'the a of and with for from in on to is are new small large light heavy soft hard clean fast slow simple modern',
  'classic red blue green black white silver cotton leather wooden steel plastic glass paper digital wireless',
  'portable waterproof kitchen garden office travel outdoor children winter summer camera phone cable battery',
  'charger speaker keyboard printer monitor screen lamp table chair desk shelf bag shirt jacket shoes watch bottle',
  'cup knife pan oven water music sound picture video game book story school house street city river mountain',
  'people woman man child dog cat bird horse train plane car bike makes gives takes holds keeps shows plays runs',
  'opens closes works helps fits comes goes looks feels stays includes supports protects connects replaces easily',
  'quickly safely together always often every many several high low long short wide narrow strong quality design',
  'size colour price weight length',
]

export const WORDS = LINES.join(' ').split(' ')
