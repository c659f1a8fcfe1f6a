// Validates orders as a client with ajv does, against the schema of the document. ajv computes with
// binary floats, so a schema can refuse prices that the API accepts.
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";

const document = JSON.parse(readFileSync(process.argv[2], "utf8"));
const ajv = new Ajv2020();
// The members of the document that are not schemas.
ajv.addVocabulary(Object.keys(document));
ajv.addSchema(document, "openapi.json");
const isValid = ajv.compile({ $ref: "openapi.json#/components/schemas/CreateOrder" });
const order = (price) => ({
  customerId: "customer-123",
  items: [{ productId: "product-456", quantity: 2, price }],
});

// One hundred prices from 0.01 to 99.99, evenly spread, and some whose quotient by 0.01 is not an
// integer in binary floats.
const spread = Array.from({ length: 100 }, (_, at) => (1 + Math.round((at * 9998) / 99)) / 100);
const valid = [...spread, 19.99, 4.18, 0.07, 0, 9999999999.99];
const invalid = [-0.01, 10000000000, "1", null];
const errors = [
  ...valid.filter((price) => !isValid(order(price))).map((price) => `refuses ${price}`),
  ...invalid.filter((price) => isValid(order(price))).map((price) => `accepts ${price}`),
];
if (errors.length > 0) {
  console.error(`the schema of CreateOrder:\n  ${errors.join("\n  ")}`);
  process.exit(1);
}
console.log(`ajv accepts ${valid.length} valid prices and refuses ${invalid.length} invalid ones`);
