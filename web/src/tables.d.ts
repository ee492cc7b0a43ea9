declare module "models:table" {
  const table: readonly import("./models.js").Model[];
  export default table;
}
