/** How well clusters agree with labels (Rosenberg and Hirschberg, 2007), as homogeneity_completeness_v_measure. */

export interface ClusterAgreement {
  homogeneity: number
  completeness: number
  v_measure: number
}

export function vMeasure(labels: Int32Array, clusters: Int32Array): ClusterAgreement {
  const [byLabel, byCluster, both] = [new Map<number, number>(), new Map<number, number>(), new Map<string, number>()]
  const count = <K>(map: Map<K, number>, key: K): Map<K, number> => map.set(key, (map.get(key) ?? 0) + 1)
  for (let i = 0; i < labels.length; i++) {
    count(byLabel, labels[i]!)
    count(byCluster, clusters[i]!)
    count(both, `${labels[i]} ${clusters[i]}`)
  }
  const total = labels.length
  let information = 0
  for (const [key, joint] of both) {
    const [label, cluster] = key.split(' ').map(Number) as [number, number]
    information += (joint / total) * Math.log((joint * total) / (byLabel.get(label)! * byCluster.get(cluster)!))
  }
  const [ofLabels, ofClusters] = [entropy(byLabel, total), entropy(byCluster, total)]
  const homogeneity = ofLabels === 0 ? 1 : Math.max(0, information) / ofLabels
  const completeness = ofClusters === 0 ? 1 : Math.max(0, information) / ofClusters
  const sum = homogeneity + completeness
  return { homogeneity, completeness, v_measure: sum === 0 ? 0 : (2 * homogeneity * completeness) / sum }
}

function entropy(counts: ReadonlyMap<number, number>, total: number): number {
  if (counts.size === 1) return 0
  let sum = 0
  for (const count of counts.values()) sum -= (count / total) * Math.log(count / total)
  return sum
}
