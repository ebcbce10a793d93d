export { treeRoot } from './tree-root.js';
